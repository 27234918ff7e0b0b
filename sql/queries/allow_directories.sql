-- The directories that may still be read once external access is refused.
SET allowed_directories = $directories;
