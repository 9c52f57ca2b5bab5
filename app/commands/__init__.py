"""The commands of `samesay`, one file a group."""
