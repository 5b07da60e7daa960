//! A file system that turned read-only, as one does after an error: writes are refused and say so, reads go on.

use super::{
    Fault, all_writes_fail,
    faults::{Call, DATABASE, EROFS, LOG},
};

#[tokio::test]
async fn a_read_only_disk_refuses_writes_until_it_is_writable() {
    let faults = [
        Fault::always(Call::Write, LOG, EROFS),
        Fault::always(Call::Write, DATABASE, EROFS),
        Fault::always(Call::Open, LOG, EROFS),
        Fault::always(Call::Open, DATABASE, EROFS),
    ];
    let (reasons, said) = all_writes_fail(&faults).await;
    // The file was open when it happened: the first failure is one of writing.
    assert_eq!(reasons[0], "STORE_UNAVAILABLE");
    assert!(reasons[1..].iter().all(|reason| reason == "STORE_READ_ONLY"), "{reasons:?}");
    assert!(said.contains("the store is read-only") && said.contains("writable again"), "{said}");
}
