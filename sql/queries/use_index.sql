-- Names without a database are those of the attached file.
USE tokensieve;
