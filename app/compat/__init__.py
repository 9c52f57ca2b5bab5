"""Routes that speak the languages of other servers, so that their clients work with this one."""
