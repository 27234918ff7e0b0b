-- No setting can be changed any more.
SET lock_configuration = TRUE;
