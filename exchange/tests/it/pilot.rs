//! The vital signs of the CDISC pilot study: in by a mapping, out in every format, about 30 000 records.
