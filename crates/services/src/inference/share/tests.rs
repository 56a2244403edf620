//! Machines that have a model, machines that want it, and machines that lie, over the memory network.

use super::*;
use crate::inference::{
    ModelFile, ModelId, ModelInfo, ModelRole, ModelStore, testing::tiny_chat_file,
};
use commonware_codec::Encode;
use commonware_runtime::{Runner as _, Spawner as _, Supervisor as _, deterministic};
use fairweir_net::{
    BlobTree, FrameStream, Network, PeerAddr, PeerId, SLICE_BYTES, SLICE_FRAME_BYTES_MAX,
    memory::{Hub, MemoryNetwork},
    read_request, reply,
};
use fairweir_types::{BoundedText, BoundedVec, Digest, decode};
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;

type Net = MemoryNetwork<deterministic::Context>;

/// What a machine does with a file that it says to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Honest,
    /// A bit of every frame is wrong.
    WrongBit,
    /// It finishes after the first slice.
    Truncated,
    /// Its frames are longer than a slice can be.
    Oversize,
    /// It says the root of other bytes, and sends those.
    FalseRoot,
    /// It begins with another file than it named.
    OtherFile,
    /// Its answer is no answer.
    Malformed,
    /// It does not answer.
    Silent,
}

fn peer(number: u8) -> PeerId {
    PeerId::new([number; 32])
}

/// A tiny model with four slices: what follows the tensors of a GGUF file is nobody's.
fn model_bytes() -> Vec<u8> {
    let mut bytes = tiny_chat_file(1);
    let word = |at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    bytes.extend((0..).flat_map(word).take(3_500_000 - bytes.len()));
    bytes
}

fn holding(bytes: &[u8], tree: &BlobTree) -> Holding {
    let file = ModelFile {
        role: ModelRole::Gguf,
        bytes: u64::try_from(bytes.len()).unwrap(),
        sha256: Sha256::digest(bytes).into(),
    };
    let root = Digest(tree.blob().root().0);
    Holding {
        name: BoundedText::truncating("tiny"),
        licence: BoundedText::truncating("MIT"),
        source: BoundedText::truncating("a test"),
        files: BoundedVec::new(vec![SharedFile { file, root }]).unwrap(),
    }
}

fn tree(bytes: &[u8]) -> BlobTree {
    BlobTree::read(bytes, u64::try_from(bytes.len()).unwrap()).unwrap()
}

/// Everything that a test needs: who wants the model, its store, and what was asked of whom.
struct World {
    context: deterministic::Context,
    hub: Hub<deterministic::Context>,
    network: Net,
    folder: TempDir,
    store: ModelStore,
    asked: Arc<Mutex<Vec<(u8, u64)>>>,
    model: Vec<u8>,
    id: ModelId,
}

impl World {
    fn new(context: deterministic::Context) -> Self {
        let hub = Hub::new(context.child("net"), 7);
        let network = hub.join(peer(0)).unwrap();
        let folder = TempDir::new().unwrap();
        let store = ModelStore::open(folder.path().join("here")).unwrap();
        let model = model_bytes();
        let id = holding(&model, &tree(&model)).id().unwrap();
        Self {
            context,
            hub,
            network,
            folder,
            store,
            asked: Arc::default(),
            model,
            id,
        }
    }

    /// A machine that serves the model in its manner.
    fn machine(&self, number: u8, manner: Manner) -> PeerAddr {
        let network = self.hub.join(peer(number)).unwrap();
        let mut incoming = network.accept(SHARE, 16).unwrap();
        let (honest, asked) = (self.model.clone(), Arc::clone(&self.asked));
        self.context.child("machine").spawn(move |_| async move {
            let mut bytes = honest.clone();
            if manner == Manner::FalseRoot {
                bytes[2_000_000] ^= 1;
            }
            let tree = tree(&bytes);
            let holding = holding(&honest, &tree);
            while let Some((_, mut stream)) = incoming.next().await {
                let frame = read_request(&mut stream, REQUEST_BYTES_MAX, ASK_DEADLINE).await;
                match decode(&frame.unwrap()).unwrap() {
                    ShareRequest::Holdings(_) => {
                        let page = BoundedVec::truncating([holding.clone()]);
                        let answer = ShareReply::Holdings(page).encode();
                        let _ = reply(stream, &answer, ASK_DEADLINE).await;
                    }
                    ShareRequest::Slices(ask) => {
                        asked.lock().unwrap().push((number, ask.from));
                        let _ = send(stream, manner, (&holding, &bytes, &tree), ask.from).await;
                    }
                }
            }
        });
        PeerAddr::from_id(peer(number))
    }

    async fn fetch(&self, sources: &[PeerAddr]) -> Result<(ModelId, ModelInfo), FetchFailed> {
        let limits = Limits { room: 10_000_000 };
        let (network, store) = (&self.network, &self.store);
        fetch(network, store, self.id, sources, limits, &mut |_| {}).await
    }

    fn asked(&self) -> Vec<(u8, u64)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn part(&self) -> std::path::PathBuf {
        let folder = self
            .folder
            .path()
            .join(format!("here/{}.arriving", self.id));
        let entries = fs::read_dir(folder).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        paths
            .find(|path| path.extension().is_some_and(|end| end == "part"))
            .unwrap()
    }

    fn has_it(&self) -> bool {
        let path = self.store.folder_of(self.id).join("model.gguf");
        self.store.load(self.id).is_ok() && fs::read(path).unwrap() == self.model
    }
}

async fn send<S: FrameStream>(
    mut stream: S,
    manner: Manner,
    (holding, bytes, tree): (&Holding, &[u8], &BlobTree),
    from: u64,
) -> Result<(), fairweir_net::NetError> {
    let mut shared = holding.files.as_slice()[0];
    match manner {
        Manner::Silent => std::future::pending().await,
        Manner::Malformed => return reply(stream, &[200, 1, 2], SLICE_DEADLINE).await,
        Manner::OtherFile => shared.root = Digest::ZERO,
        _ => {}
    }
    let coming = ShareReply::Slices(shared).encode();
    stream.send(&coming, SLICE_DEADLINE).await?;
    for slice in from..tree.blob().slices() {
        let mut frame = tree.slice(&bytes, slice).unwrap();
        match manner {
            Manner::WrongBit => frame[70_000] ^= 4,
            Manner::Oversize => frame.resize(SLICE_FRAME_BYTES_MAX + 1, 0),
            Manner::Truncated if slice == from + 1 => break,
            _ => {}
        }
        stream.send(&frame, SLICE_DEADLINE).await?;
    }
    stream.finish().await
}

fn run<F: Future<Output = ()>>(test: impl FnOnce(World) -> F) {
    deterministic::Runner::seeded(1).start(|context| test(World::new(context)));
}

#[test]
fn a_model_comes_whole_and_is_served_on() {
    run(|world| async move {
        let source = world.machine(1, Manner::Honest);
        let (id, info) = world.fetch(&[source]).await.unwrap();
        assert_eq!((id, info.name.as_str()), (world.id, "tiny"));
        assert!(info.source.starts_with(&format!("peer {}", peer(1))));
        assert!(world.has_it());
        let names: Vec<_> = fs::read_dir(world.folder.path().join("here"))
            .unwrap()
            .collect();
        assert_eq!(names.len(), 1, "nothing but the model is left");

        let library = Arc::new(Library::open(&world.store).unwrap());
        assert_eq!(library.len(), 1);
        let incoming = world.network.accept(SHARE, 16).unwrap();
        let serving = world.context.child("serve");
        serving.spawn(move |_| library.serve(incoming));
        let other = world.hub.join(peer(9)).unwrap();
        let store = ModelStore::open(world.folder.path().join("other")).unwrap();
        let sources = [world.network.local_addr()];
        let limits = Limits { room: u64::MAX };
        fetch(&other, &store, id, &sources, limits, &mut |_| {})
            .await
            .unwrap();
        store.check(id).unwrap();
    });
}

#[test]
fn liars_are_refused_with_a_code_and_another_machine_is_asked() {
    let table = [
        (Manner::WrongBit, "wrong_bytes"),
        (Manner::Truncated, "unreachable"),
        (Manner::Oversize, "wrong_bytes"),
        (Manner::FalseRoot, "wrong_file"),
        (Manner::OtherFile, "other_file"),
        (Manner::Malformed, "malformed"),
        (Manner::Silent, "unreachable"),
    ];
    for (manner, code) in table {
        run(|world| async move {
            let liar = world.machine(1, manner);
            let failed = world.fetch(std::slice::from_ref(&liar)).await.unwrap_err();
            let tried: Vec<_> = failed.tried.iter().map(|(_, error)| error.code()).collect();
            assert_eq!(tried, [code], "{manner:?}: {failed}");
            assert!(!world.has_it());
            world.asked();

            let honest = world.machine(2, Manner::Honest);
            world.fetch(&[liar, honest]).await.unwrap();
            assert!(world.has_it(), "{manner:?}");
            let last = world.asked().pop().unwrap();
            // What came right before the stream was cut is kept: a slice in each of its turns.
            let kept = if manner == Manner::Truncated { 2 } else { 0 };
            assert_eq!(last, (2, kept), "{manner:?}");
        });
    }
}

#[test]
fn most_machines_are_believed_before_one() {
    run(|world| async move {
        let sources = [
            world.machine(1, Manner::FalseRoot),
            world.machine(2, Manner::Honest),
            world.machine(3, Manner::Honest),
        ];
        world.fetch(&sources).await.unwrap();
        assert_eq!(world.asked(), [(2, 0)]);
    });
}

#[test]
fn a_cut_link_costs_a_deadline_and_another_machine_goes_on() {
    run(|world| async move {
        let sources = [
            world.machine(1, Manner::Honest),
            world.machine(2, Manner::Honest),
        ];
        let hub = world.hub.clone();
        let mut cut = |progress: Progress| {
            if progress.peer == peer(1) && progress.here == 2 * SLICE_BYTES {
                hub.cut(peer(1), peer(0));
            }
        };
        let (network, store) = (&world.network, &world.store);
        let limits = Limits { room: 10_000_000 };
        fetch(network, store, world.id, &sources, limits, &mut cut)
            .await
            .unwrap();
        assert!(world.has_it());
        let asked = world.asked();
        assert!(
            matches!(asked.as_slice(), [(1, 0), (2, from)] if *from >= 2),
            "{asked:?}"
        );
    });
}

#[test]
fn a_fetch_that_was_killed_goes_on_where_it_stopped() {
    run(|world| async move {
        let sources = [world.machine(1, Manner::Honest)];
        let (stop, stopped) = futures::channel::oneshot::channel();
        let mut stop = Some(stop);
        let mut progress = |progress: Progress| {
            if progress.here == 3 * SLICE_BYTES
                && let Some(stop) = stop.take()
            {
                stop.send(()).unwrap();
            }
        };
        let limits = Limits { room: 10_000_000 };
        let (network, store) = (&world.network, &world.store);
        let fetching = fetch(network, store, world.id, &sources, limits, &mut progress);
        // The memory network hands frames over without waiting, so the whole file may come before anybody looks: a part of it
        // is what a kill would have left.
        futures::future::select(stopped, Box::pin(fetching)).await;
        if world.has_it() {
            let path = world.store.folder_of(world.id).join("model.gguf");
            let left = fs::read(path).unwrap()[..2_500_000].to_vec();
            world.store.remove(world.id).unwrap();
            let begun = world
                .store
                .arrive(world.id, holding(&world.model, &tree(&world.model)).info());
            let begun = begun.unwrap();
            drop(
                begun
                    .part(ModelRole::Gguf, &tree(&world.model).blob())
                    .unwrap(),
            );
            drop(begun);
            fs::write(world.part(), left).unwrap();
        }
        world.asked();
        world.fetch(&sources).await.unwrap();
        assert!(world.has_it());
        let asked = world.asked();
        assert!(matches!(asked.as_slice(), [(1, 2 | 3)]), "{asked:?}");
    });
}

#[test]
fn a_part_that_the_disk_lost_is_fetched_again_and_nobody_is_blamed() {
    run(|world| async move {
        let half = world.machine(1, Manner::Truncated);
        world.fetch(&[half]).await.unwrap_err();
        let part = world.part();
        let length = fs::metadata(&part).unwrap().len();
        assert_eq!(length, SLICE_BYTES);
        fs::write(&part, vec![0; usize::try_from(length).unwrap()]).unwrap();
        world.asked();
        let honest = world.machine(2, Manner::Honest);
        world.fetch(&[honest]).await.unwrap();
        assert!(world.has_it());
        assert_eq!(world.asked(), [(2, 1), (2, 0)]);
    });
}

#[test]
fn what_does_not_fit_is_not_begun() {
    run(|world| async move {
        let sources = [
            world.machine(1, Manner::Honest),
            world.machine(2, Manner::Honest),
        ];
        let limits = Limits { room: 3_499_999 };
        let (network, store) = (&world.network, &world.store);
        let failed = fetch(network, store, world.id, &sources, limits, &mut |_| {})
            .await
            .unwrap_err();
        // Another machine would not help.
        let tried: Vec<_> = failed.tried.iter().map(|(_, error)| error.code()).collect();
        assert_eq!(tried, ["too_large"]);
        assert!(world.asked().is_empty());
    });
}

#[test]
fn one_process_at_a_time_brings_a_model() {
    run(|world| async move {
        let source = world.machine(1, Manner::Honest);
        let info = holding(&world.model, &tree(&world.model)).info();
        let other = world.store.arrive(world.id, info).unwrap();
        let failed = world
            .fetch(std::slice::from_ref(&source))
            .await
            .unwrap_err();
        assert!(failed.to_string().contains("another process"), "{failed}");
        drop(other);
        world.fetch(&[source]).await.unwrap();
    });
}

#[test]
fn only_models_with_a_licence_are_served_and_only_by_their_id() {
    run(|world| async move {
        let given = world.folder.path().join("given.gguf");
        let add = |seed, licence: &str| {
            fs::write(&given, tiny_chat_file(seed)).unwrap();
            let files = [(ModelRole::Gguf, given.clone())];
            world
                .store
                .add(&format!("tiny-{seed}"), licence, "a test", &files)
                .unwrap()
                .0
        };
        let (served, unknown) = (add(1, "MIT"), add(2, "unknown"));
        let library = Arc::new(Library::open(&world.store).unwrap());
        assert_eq!(library.len(), 1);
        let server = world.hub.join(peer(1)).unwrap();
        let incoming = server.accept(SHARE, 16).unwrap();
        world
            .context
            .child("serve")
            .spawn(move |_| library.serve(incoming));
        let to = PeerAddr::from_id(peer(1));
        let found = holdings(&world.network, &to, ModelId::default())
            .await
            .unwrap();
        assert_eq!(
            found.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
            [served]
        );

        let ask = async |frame: &[u8]| {
            let limit = REPLY_BYTES_MAX;
            let answer =
                fairweir_net::request(&world.network, &to, SHARE, frame, limit, ASK_DEADLINE);
            match decode(&answer.await.unwrap()).unwrap() {
                ShareReply::Refused(refusal) => refusal.code.as_str().to_owned(),
                other => format!("{other:?}"),
            }
        };
        let slices = |model, role, from| {
            ShareRequest::Slices(AskSlices { model, role, from })
                .encode()
                .to_vec()
        };
        assert_eq!(ask(&slices(unknown, ModelRole::Gguf, 0)).await, "not_held");
        assert_eq!(ask(&slices(served, ModelRole::Config, 0)).await, "no_slice");
        assert_eq!(
            ask(&slices(served, ModelRole::Gguf, u64::MAX)).await,
            "no_slice"
        );
        assert_eq!(ask(b"../../etc/passwd").await, "malformed");
        world.store.remove(served).unwrap();
        assert_eq!(ask(&slices(served, ModelRole::Gguf, 0)).await, "not_held");
    });
}

#[test]
fn words_read_back_and_cut_ones_do_not() {
    let bytes = tiny_chat_file(1);
    let holding = holding(&bytes, &tree(&bytes));
    let page = BoundedVec::new(vec![holding; HOLDINGS_MAX]).unwrap();
    let reply = ShareReply::Holdings(page);
    let frame = reply.encode();
    assert!(frame.len() <= REPLY_BYTES_MAX);
    assert_eq!(decode::<ShareReply>(&frame).unwrap(), reply);
    for cut in [0, 1, 50, frame.len() - 1] {
        assert!(decode::<ShareReply>(&frame[..cut]).is_err());
    }
}
