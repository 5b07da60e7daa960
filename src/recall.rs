//! Finds what a swarm knows about a question, and ranks it. Pure: entries are handed in, time is given. Knows no store,
//! no wire, and nothing of how mirrors are kept current (ADR 16).
//!
//! | module | what it is |
//! | --- | --- |
//! | [`text`] | words of a text: segmentation, stop words, stems |
//! | `lexicon` | postings of terms, and BM25 |
//! | [`embed`] | texts as vectors |
//! | `vectors` | many vectors, and the nearest of them |
//! | `facets` | which entries a filter means |
//! | [`mirror`] | all of it for one root |
//! | [`rank`] | one question over several mirrors |
//! | [`pack`] | what was found, as a text of bounded length |

pub mod embed;
mod facets;
mod lexicon;
pub mod mirror;
pub mod pack;
pub mod rank;
pub mod text;
mod vectors;
