//! Recall from outside: what is found, what is never found, and how it is said. Knows no formula.

mod answers;
mod bad_input;
mod gate;
mod keeping;
mod replicas;
mod score;
