def parse_renames(x): return {}
class RowParser: pass
Parsed = RecordRow = GroupDraft = Rejected = object
