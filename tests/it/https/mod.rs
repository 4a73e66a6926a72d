//! HTTPS of the own: certificates from files and by ACME, what they are shown for, and what leads there.

mod acme;
mod own;
