//! Requirements one by one. Numbers are those of the RFC checklist: S, B, A the state tables of RFC 9568 §6.4, T its
//! parameters (§6.1), V what RFC 3768 has differently; `own` marks what neither of them lays down.

use std::time::Duration;

use vrrp_user::protocol::{InstanceSettings, Interval, Priority, Version};

use super::script;
use super::setup::{Variant, tracked};

struct Row {
    number: &'static str,
    what: &'static str,
    variants: &'static [Variant],
    settings: fn(&mut InstanceSettings),
    script: &'static str,
}

const ALL: &[Variant] = &Variant::ALL;
const V3: &[Variant] = &[Variant::V3Ipv4, Variant::V3Ipv6];
const V2: &[Variant] = &[Variant::V2];

fn plain(_: &mut InstanceSettings) {}

fn owner(settings: &mut InstanceSettings) {
    settings.priority = Priority::OWNER;
}

fn no_preempt(settings: &mut InstanceSettings) {
    settings.preempt = false;
}

const ROWS: &[Row] = &[
    Row {
        number: "S01",
        what: "the owner starts as master",
        variants: ALL,
        settings: owner,
        script: "
            startup         -> advert 255, add, MASTER owner
            wait A - 1ns
            wait 1ns        -> advert 255
            wait A          -> advert 255",
    },
    Row {
        number: "S01",
        what: "also where trackers speak against it",
        variants: ALL,
        settings: |settings| {
            owner(settings);
            settings.tracks = vec![tracked(1, -50)];
        },
        script: "
            track 1 down
            startup         -> advert 255, add, MASTER owner
            effective 255",
    },
    Row {
        number: "S02",
        what: "others wait for master_down_interval with their own interval and send nothing",
        variants: ALL,
        settings: plain,
        script: "
            startup         -> BACKUP startup
            wait down - 1ns
            wait 1ns        -> advert 100, add, MASTER master_silent",
    },
    Row {
        number: "S03",
        what: "adverts in Init mean nothing",
        variants: ALL,
        settings: plain,
        script: "
            hear 200 from 120
            hear 0 from 120
            hear 255 from 120
            seen
            is INIT
            startup         -> BACKUP startup
            wait 3609375us  -> advert 100, add, MASTER master_silent",
    },
    Row {
        number: "S04",
        what: "a second start has forgotten the learned interval",
        variants: V3,
        settings: plain,
        script: "
            startup                     -> BACKUP startup
            hear 200 from 120 every 5cs -> watch
            shutdown                    -> unwatch, INIT shutdown
            startup                     -> BACKUP startup
            wait 3609375us - 1ns
            wait 1ns                    -> advert 100, add, MASTER master_silent",
    },
    Row {
        number: "B05",
        what: "a Backup leaves in silence",
        variants: ALL,
        settings: plain,
        script: "
            startup         -> BACKUP startup
            shutdown        -> INIT shutdown
            wait 20s",
    },
    Row {
        number: "B06",
        what: "the master's silence ends after master_down_interval; then our own interval counts",
        variants: V3,
        settings: plain,
        script: "
            startup                     -> BACKUP startup
            hear 200 from 120 every 5cs -> watch
            wait down - 1ns
            wait 1ns                    -> advert 100, add, unwatch, MASTER master_silent
            wait A - 1ns
            wait 1ns                    -> advert 100",
    },
    Row {
        number: "B07",
        what: "a release shortens the wait to skew",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 200 from 120   -> watch
            wait 500ms
            hear 0 from 120     -> unwatch
            wait 609375us - 1ns
            wait 1ns            -> advert 100, add, MASTER master_released",
    },
    Row {
        number: "B07",
        what: "with the interval known from the master",
        variants: V3,
        settings: plain,
        script: "
            startup                     -> BACKUP startup
            hear 200 from 120 every 1cs -> watch
            hear 0 from 120 every 1cs   -> unwatch
            wait 6093750ns - 1ns
            wait 1ns                    -> advert 100, add, MASTER master_released",
    },
    Row {
        number: "B08",
        what: "without preemption any master is obeyed",
        variants: ALL,
        settings: no_preempt,
        script: "
            startup         -> BACKUP startup
            wait 3s
            hear 1 from 90  -> watch
            wait down - 1ns
            wait 1ns        -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "B09",
        what: "an equal master is obeyed whatever its address",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait 3s
            hear 100 from 90    -> watch
            wait 3s
            hear 100 from 120   -> watch
            wait down - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "B10",
        what: "a lower master is ignored, and the timer runs on",
        variants: ALL,
        settings: plain,
        script: "
            startup         -> BACKUP startup
            wait 1s
            hear 99 from 120
            wait 1s
            hear 99 from 120
            wait 1609375us - 1ns
            wait 1ns        -> advert 100, add, MASTER preempted",
    },
    Row {
        number: "B10",
        what: "its interval is not learned",
        variants: V3,
        settings: plain,
        script: "
            startup         -> BACKUP startup
            hear 99 from 120 every 5cs
            hear 99 from 120 every 4095cs
            wait 3609375us - 1ns
            wait 1ns        -> advert 100, add, MASTER preempted",
    },
    Row {
        number: "B10",
        what: "a master that became lower is watched no more",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait 1s
            hear 50 from 120    -> unwatch
            wait 2609375us - 1ns
            wait 1ns            -> advert 100, add, MASTER preempted",
    },
    Row {
        number: "B10",
        what: "a second, lower master changes nothing about the watched one",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            hear 50 from 90
            wait 1s
            seen
            wait down - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "B11",
        what: "the master's interval counts",
        variants: V3,
        settings: plain,
        script: "
            startup                     -> BACKUP startup
            hear 150 from 120 every 1cs -> watch
            wait 36093750ns - 1ns
            wait 1ns                    -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "B12",
        what: "a shorter interval shortens the wait at once",
        variants: V3,
        settings: plain,
        script: "
            startup                        -> BACKUP startup
            hear 150 from 120 every 4095cs -> watch
            wait 1s
            hear 150 from 120 every 10cs   -> watch
            wait 360937500ns - 1ns
            wait 1ns                       -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "B13",
        what: "a second release starts skew again",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            hear 0 from 120     -> unwatch
            wait 600ms
            hear 0 from 120
            wait 609375us - 1ns
            wait 1ns            -> advert 100, add, MASTER master_released",
    },
    Row {
        number: "B14",
        what: "an heir heard within skew is obeyed",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            hear 0 from 120     -> unwatch
            wait 600ms
            hear 120 from 90    -> watch
            wait down - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "A07",
        what: "a master releases its addresses, then takes them off",
        variants: ALL,
        settings: owner,
        script: "
            startup     -> advert 255, add, MASTER owner
            shutdown    -> advert 0, remove, INIT shutdown
            wait 20s",
    },
    Row {
        number: "A09",
        what: "a release heard is answered at once, and the interval starts anew",
        variants: ALL,
        settings: owner,
        script: "
            startup         -> advert 255, add, MASTER owner
            wait 400ms
            hear 0 from 120 -> advert 255
            wait A - 1ns
            wait 1ns        -> advert 255",
    },
    Row {
        number: "A10",
        what: "a higher master is obeyed in silence",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            wait 300ms
            hear 101 from 90    -> remove, watch, BACKUP higher_priority
            wait down - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "A10",
        what: "with its interval, ours when we are master again (A17)",
        variants: V3,
        settings: plain,
        script: "
            startup                     -> BACKUP startup
            wait down                   -> advert 100, add, MASTER master_silent
            hear 200 from 90 every 1cs  -> remove, watch, BACKUP higher_priority
            wait 36093750ns - 1ns
            wait 1ns                    -> advert 100, add, unwatch, MASTER master_silent
            wait A - 1ns
            wait 1ns                    -> advert 100",
    },
    Row {
        number: "A11",
        what: "of two equal masters the lower address yields",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            hear 100 from 200   -> remove, watch, BACKUP higher_address",
    },
    Row {
        number: "A12",
        what: "of two equal masters the higher address stays, and says so",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            wait 300ms
            hear 100 from 90    -> advert 100, contest
            wait A - 1ns
            wait 1ns            -> advert 100",
    },
    Row {
        number: "A13",
        what: "a lower master is answered at once, but not every time",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            wait 300ms
            hear 99 from 120    -> advert 100, contest
            wait 50ms
            hear 99 from 120
            wait 50ms - 1ns
            hear 99 from 120
            wait 1ns
            hear 99 from 120    -> advert 100
            wait A - 1ns
            wait 1ns            -> advert 100",
    },
    Row {
        number: "A14",
        what: "without preemption a master still yields to a higher one",
        variants: ALL,
        settings: no_preempt,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            hear 99 from 120    -> advert 100, contest
            hear 101 from 90    -> remove, watch, BACKUP higher_priority",
    },
    Row {
        number: "A15",
        what: "our own advert come back changes nothing",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 200 from 100
            wait down           -> advert 100, add, MASTER master_silent
            wait 300ms
            hear 200 from 100
            hear 0 from 100
            hear 1 from 100
            wait 700ms - 1ns
            wait 1ns            -> advert 100",
    },
    Row {
        number: "A16",
        what: "of two owners the higher address stays",
        variants: ALL,
        settings: owner,
        script: "
            startup             -> advert 255, add, MASTER owner
            hear 255 from 90    -> advert 255, contest
            hear 255 from 120   -> remove, watch, BACKUP higher_address
            wait down - 1ns
            wait 1ns            -> advert 255, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "T05",
        what: "the owner preempts without being told to",
        variants: ALL,
        settings: |settings| {
            owner(settings);
            no_preempt(settings);
            settings.preempt_delay = Duration::from_secs(60);
        },
        script: "
            startup             -> advert 255, add, MASTER owner
            hear 255 from 120   -> remove, watch, BACKUP higher_address
            hear 254 from 120   -> unwatch
            wait down - 1ns
            wait 1ns            -> advert 255, add, MASTER preempted",
    },
    Row {
        number: "T04",
        what: "the number of adverts to miss is a setting",
        variants: ALL,
        settings: |settings| settings.down_timer_adverts = 2,
        script: "
            startup             -> BACKUP startup
            wait 2609375us - 1ns
            wait 1ns            -> advert 100, add, MASTER master_silent",
    },
    Row {
        number: "T09",
        what: "a changed priority moves the running deadline by the difference of the skews",
        variants: ALL,
        settings: |settings| settings.tracks = vec![tracked(1, -64)],
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait 3s
            track 1 down        -> priority 36
            wait 859375us - 1ns
            wait 1ns            -> advert 36, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "T09",
        what: "but not into the past",
        variants: ALL,
        settings: |settings| {
            settings.priority = Priority(1);
            settings.tracks = vec![tracked(1, 253)];
        },
        script: "
            track 1 down        -> priority 1
            startup             -> BACKUP startup
            wait 3900ms
            track 1 up          -> priority 254, advert 254, add, MASTER master_silent
            away 0",
    },
    Row {
        number: "V07",
        what: "skew is a share of a second whatever the interval",
        variants: V2,
        settings: |settings| {
            settings.advert_interval = Interval::new(Duration::from_secs(3), Version::V2).unwrap();
        },
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait 9609375us - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent
            wait 3s             -> advert 100",
    },
    Row {
        number: "V12",
        what: "a lower master can be left without an answer",
        variants: ALL,
        settings: |settings| settings.lower_prio_no_advert = true,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            wait 300ms
            hear 99 from 120    -> contest
            wait 700ms - 1ns
            wait 1ns            -> advert 100",
    },
    Row {
        number: "own",
        what: "one advert can be sent before yielding",
        variants: ALL,
        settings: |settings| settings.higher_prio_send_advert = true,
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            hear 101 from 90    -> advert 100, remove, watch, BACKUP higher_priority",
    },
    Row {
        number: "own",
        what: "preempt_delay counts from the first lower advert, and the timer from the last one obeyed",
        variants: ALL,
        settings: |settings| settings.preempt_delay = Duration::from_secs(10),
        script: "
            startup             -> BACKUP startup
            wait 2s
            hear 50 from 120    -> watch
            wait 3s
            seen
            wait 3s
            seen
            wait 3s
            seen
            wait 1s             -> unwatch
            hear 50 from 120
            wait 2609375us - 1ns
            wait 1ns            -> advert 100, add, MASTER preempted",
    },
    Row {
        number: "own",
        what: "a master that is not lower ends preempt_delay",
        variants: ALL,
        settings: |settings| settings.preempt_delay = Duration::from_secs(10),
        script: "
            startup             -> BACKUP startup
            hear 50 from 120    -> watch
            wait 3s
            hear 100 from 120   -> watch
            wait 3s
            hear 50 from 120    -> watch
            wait 3s
            seen
            wait 3s
            seen
            wait 3s
            seen
            wait 1s             -> unwatch",
    },
    Row {
        number: "own",
        what: "risen above the watched master we watch it no more and take over",
        variants: ALL,
        settings: |settings| settings.tracks = vec![tracked(1, -60)],
        script: "
            track 1 down        -> priority 40
            startup             -> BACKUP startup
            hear 50 from 120    -> watch
            wait 1s
            seen
            track 1 up          -> unwatch, priority 100
            hear 50 from 120
            wait down - 1ns
            wait 1ns            -> advert 100, add, MASTER preempted",
    },
    Row {
        number: "own",
        what: "fallen below the lower master we obey it again",
        variants: ALL,
        settings: |settings| settings.tracks = vec![tracked(1, -60)],
        script: "
            startup             -> BACKUP startup
            hear 50 from 120
            track 1 down        -> priority 40
            hear 50 from 120    -> watch
            wait down - 1ns
            wait 1ns            -> advert 40, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "a master says at once that its priority fell, and not that it rose",
        variants: ALL,
        settings: |settings| settings.tracks = vec![tracked(1, 20)],
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 120, add, MASTER master_silent
            wait 300ms
            track 1 down        -> advert 100, priority 100
            track 1 down
            wait 300ms
            track 1 up          -> priority 120
            wait 700ms - 1ns
            wait 1ns            -> advert 120",
    },
    Row {
        number: "own",
        what: "weights add while up or take while down, reversed too, within 1 and 254",
        variants: ALL,
        settings: |settings| {
            let mut reversed = tracked(3, 10);
            reversed.reverse = true;
            settings.tracks = vec![tracked(1, 253), tracked(2, -253), reversed];
        },
        script: "
            effective 254
            track 1 down        -> priority 100
            track 2 down        -> priority 1
            track 3 down
            track 2 up          -> priority 110
            track 3 up          -> priority 100",
    },
    Row {
        number: "own",
        what: "losing what weight 0 tracks is Fault: release, addresses off, silence, then a full wait",
        variants: ALL,
        settings: |settings| settings.tracks = vec![tracked(1, 0)],
        script: "
            startup             -> BACKUP startup
            wait down           -> advert 100, add, MASTER master_silent
            track 1 down        -> advert 0, remove, FAULT track_down
            hear 50 from 120
            hear 0 from 120
            wait 20s
            track 1 up          -> BACKUP recovered
            wait down - 1ns
            wait 1ns            -> advert 100, add, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "without link or source there is no election, and more causes make no more transitions",
        variants: ALL,
        settings: plain,
        script: "
            link down
            startup             -> FAULT link_down
            source none
            link up
            is FAULT
            source 100          -> BACKUP recovered
            hear 150 from 120   -> watch
            source none         -> unwatch, FAULT no_source
            link down
            source 100
            link up             -> BACKUP recovered
            wait down           -> advert 100, add, MASTER master_silent
            link down           -> advert 0, remove, FAULT link_down
            shutdown            -> INIT shutdown",
    },
    Row {
        number: "own",
        what: "nothing can be released without a source to send from",
        variants: ALL,
        settings: owner,
        script: "
            startup             -> advert 255, add, MASTER owner
            source none         -> remove, FAULT no_source
            source 100          -> advert 255, add, MASTER recovered",
    },
    Row {
        number: "own",
        what: "the own link can be ignored",
        variants: ALL,
        settings: |settings| settings.ignore_own_link = true,
        script: "
            link down
            startup             -> BACKUP startup
            link up
            link down
            wait down           -> advert 100, add, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "Init lasts until what is tracked is known",
        variants: ALL,
        settings: |settings| {
            settings.tracks = vec![tracked(1, 0), tracked(2, 10)];
            settings.tracks[0].initial = None;
        },
        script: "
            startup
            track 2 down        -> priority 100
            wait 20s
            is INIT
            track 1 up          -> BACKUP startup",
    },
    Row {
        number: "own",
        what: "a first result that ends Init and changes the priority counts once",
        variants: ALL,
        settings: |settings| {
            settings.tracks = vec![tracked(1, -64)];
            settings.tracks[0].initial = None;
        },
        script: "
            startup
            track 1 down        -> BACKUP startup, priority 36
            wait down - 1ns
            wait 1ns            -> advert 36, add, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "announcements: first set, its repeats, the delayed set, the refresh",
        variants: ALL,
        settings: |settings| {
            settings.advert_interval = Interval::new(Duration::from_secs(40), settings.version).unwrap();
            settings.announce.repeat = 5;
            settings.announce.delay = Duration::from_secs(5);
            settings.announce.refresh = Duration::from_secs(10);
            settings.announce.refresh_repeat = 2;
            owner(settings);
        },
        script: "
            startup         -> advert 255, add, announce 4, MASTER owner
            wait 5s - 1ns
            wait 1ns        -> announce 5
            wait 5s - 1ns
            wait 1ns        -> announce 2
            wait 10s        -> announce 2
            shutdown        -> advert 0, remove, INIT shutdown
            wait 100s",
    },
    Row {
        number: "own",
        what: "a contest is announced now and later, and reported once a second",
        variants: ALL,
        settings: |settings| {
            owner(settings);
            settings.announce.lower_prio_repeat = 3;
            settings.announce.lower_prio_delay = Duration::from_millis(1500);
        },
        script: "
            startup             -> advert 255, add, MASTER owner
            hear 99 from 120    -> advert 255, announce 3, contest
            wait 500ms
            hear 99 from 120    -> advert 255
            wait 500ms
            hear 99 from 120    -> advert 255, announce 3, contest
            wait 500ms          -> announce 3
            wait 500ms          -> advert 255",
    },
    Row {
        number: "own",
        what: "the watched master seen moves the deadline forwards only",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            seen
            hear 150 from 120   -> watch
            wait 1s
            seen
            seen 500ms ago
            seen 5s ago
            wait down - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent
            seen",
    },
    Row {
        number: "own",
        what: "an older advert handled after a sighting takes nothing back",
        variants: ALL,
        settings: plain,
        script: "
            startup                             -> BACKUP startup
            hear 150 from 120                   -> watch
            wait 2s
            seen
            hear 150 from 120 sent 500ms ago    -> watch
            wait down - 1ns
            wait 1ns                            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "patience counts from when the kernel saw the advert, not from when it was handled",
        variants: ALL,
        settings: plain,
        script: "
            startup                             -> BACKUP startup
            hear 150 from 120 sent 500ms ago    -> watch
            wait down - 500ms - 1ns
            wait 1ns                            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "after a release only an advert counts, no sighting",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            hear 0 from 120     -> unwatch
            wait 100ms
            seen
            wait skew - 100ms   -> advert 100, add, MASTER master_released",
    },
    Row {
        number: "own",
        what: "a timeout called too early does nothing",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            call
            wait 700ms
            call
            call
            wait down - 700ms   -> advert 100, add, MASTER master_silent
            call
            wait 300ms
            call
            wait 700ms          -> advert 100
            call",
    },
    Row {
        number: "own",
        what: "a backup that stood still listens for another interval and skew",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            freeze 10s
            away 1
            wait A + skew - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "and again if it stands still again, until the master is heard",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            freeze 10s
            wait 1s
            freeze 1s
            away 2
            wait 1s
            hear 150 from 120   -> watch
            wait down - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "an absence is noticed by whatever comes first, also by an old sighting",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait 2s
            sleep 2s
            seen 3s ago
            away 1
            wait A + skew - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "or by a changed priority",
        variants: ALL,
        settings: |settings| settings.tracks = vec![tracked(1, -64)],
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            sleep 4s
            track 1 down        -> priority 36
            away 1
            wait A + skew - 1ns
            wait 1ns            -> advert 36, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "an absence that ends just after the deadline is noticed by what it missed before",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait down - 700ms
            freeze 750ms
            away 1
            wait A + skew - 1ns
            wait 1ns            -> advert 100, add, unwatch, MASTER master_silent",
    },
    Row {
        number: "own",
        what: "a release is judged as carefully",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            hear 0 from 120     -> unwatch
            freeze 2s
            away 1
            wait A + skew - 1ns
            wait 1ns            -> advert 100, add, MASTER master_released",
    },
    Row {
        number: "own",
        what: "a little lateness is no absence",
        variants: ALL,
        settings: plain,
        script: "
            startup             -> BACKUP startup
            hear 150 from 120   -> watch
            wait down - 1ns
            freeze 90ms         -> advert 100, add, unwatch, MASTER master_silent
            away 0",
    },
    Row {
        number: "A08",
        what: "adverts keep their phase when sent late, and start anew when a whole interval was lost",
        variants: ALL,
        settings: owner,
        script: "
            startup             -> advert 255, add, MASTER owner
            wait 900ms
            freeze 300ms        -> advert 255
            wait 800ms - 1ns
            wait 1ns            -> advert 255
            freeze 2500ms       -> advert 255
            wait A - 1ns
            wait 1ns            -> advert 255",
    },
];

#[test]
fn all_rows_hold() {
    for row in ROWS {
        for &variant in row.variants {
            let mut settings = variant.settings();
            (row.settings)(&mut settings);
            script::run(&format!("{} ({})", row.number, row.what), variant, settings, row.script);
        }
    }
}

#[test]
fn the_state_tables_are_covered() {
    let numbers =
        |prefix: &'static str, from: u8, to: u8| (from..=to).map(move |n| format!("{prefix}{n:02}"));
    let wanted = numbers("S", 1, 4).chain(numbers("B", 5, 14)).chain(numbers("A", 7, 16));
    for number in wanted {
        assert!(ROWS.iter().any(|row| row.number == number), "{number} has no row");
    }
}
