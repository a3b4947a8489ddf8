import { checkName, type Fid, type Fids, NO_USER, type Place } from './fids.ts'
import { HEAD, type MessageReader, type MessageWriter, textBytes } from './messages.ts'
import {
  after,
  lookAt,
  type ShareAccess,
  type ShareChanges,
  ShareError,
  type ShareNode,
  type ShareOwner,
  type ShareStat,
  type Soon,
  soon,
  type Steps,
} from './share.ts'

/** A driver's session with a share, for its requests. */
export interface P9Connection {
  readonly readOnly: boolean
  readonly fids: Fids
  readonly messageBytes: number
  /** Returns memory for data, until the request ends: a driver asks for far more than a small file has. */
  scratch(bytes: number): Uint8Array
}

/** Performs a request: reads its fields, and writes the fields of the response. */
interface Operation {
  /** The operation changes files: a read-only share refuses it. */
  readonly writes?: boolean
  perform(session: P9Connection, reader: MessageReader, writer: MessageWriter): Steps<void> | void
}

const MOST_STEPS = 16
/** Head and count of the answer to a read. */
const READ_HEAD = HEAD + 4
/** An entry of a directory without its name: qid, offset, type, length of the name. */
const ENTRY_BYTES = 24
const STATFS_MAGIC = 0x0102_1997

/* Modes (Linux, `uapi/linux/stat.h`) and flags (9P2000.L numbers them as Linux does on x86). */
const KIND = 0o170_000
const DIRECTORY = 0o040_000
const LINK = 0o120_000
const REGULAR = 0o100_000
const PERMISSIONS = 0o7777
const ALL_READ = 0o444
const WRITE_ONLY = 1
const READ_WRITE = 2
const EXCLUSIVE = 0o200
const TRUNCATE = 0o1000
const APPEND = 0o2000
const REMOVE_DIRECTORY = 0x200
const UNLOCKED = 2

/* Valid bits of Tsetattr. */
const SET_MODE = 1
const SET_UID = 2
const SET_GID = 4
const SET_SIZE = 8
const SET_ACCESSED = 0x10
const SET_MODIFIED = 0x20
const ACCESSED_GIVEN = 0x80
const MODIFIED_GIVEN = 0x100
/** Fields of Rgetattr that are answered: `P9_STATS_BASIC`. */
const BASIC_FIELDS = 0x7ff
const NANOSECONDS = 1_000_000_000n

/** A file's kind and number. */
function qid(writer: MessageWriter, { mode, id, modifiedNs }: ShareStat): MessageWriter {
  const kind = mode & KIND
  const type = kind === DIRECTORY ? 0x80 : kind === LINK ? 0x02 : 0
  return writer
    .u8(type)
    .u32(Number(modifiedNs & 0xffff_ffffn))
    .u64(id)
}

function accessOf(flags: number): ShareAccess {
  const mode = flags & 3
  return {
    read: mode !== WRITE_ONLY,
    write: mode === WRITE_ONLY || mode === READ_WRITE,
    truncate: (flags & TRUNCATE) !== 0,
    append: (flags & APPEND) !== 0,
  }
}

/** Data that fits into an answer. */
const fitting = ({ messageBytes }: P9Connection, count: number): number => Math.min(count, messageBytes - READ_HEAD)

function* attach(session: P9Connection, reader: MessageReader, writer: MessageWriter): Steps<void> {
  const number = reader.u32()
  session.fids.check(number)
  // A fid for authentication, and the names of the user and the tree.
  reader.u32()
  reader.text()
  reader.text()
  const uid = reader.u32()
  const { place, stat } = yield* session.fids.root()
  session.fids.set(number, place, uid)
  qid(writer, stat)
}

function* walk(session: P9Connection, reader: MessageReader, writer: MessageWriter): Steps<void> {
  const { fids } = session
  const [from, to, steps] = [reader.u32(), reader.u32(), reader.u16()]
  if (steps > MOST_STEPS) throw new ShareError('EINVAL')
  const names = Array.from({ length: steps }, () => reader.text())
  const fid = fids.get(from)
  if (from !== to) fids.check(to)
  else if (fid.access !== null) throw new ShareError('EBUSY', 'the fid is open')
  const found: ShareStat[] = []
  let place: Place = fid.place
  place.uses++
  try {
    for (const name of names) {
      const next = yield* fids.step(place, name)
      fids.release(place)
      place = next.place
      found.push(next.stat)
    }
  } catch (error) {
    fids.release(place)
    // A walk that stops half-way answers with the names that it found, and makes no fid.
    if (found.length === 0) throw error
    writer.u16(found.length)
    for (const stat of found) qid(writer, stat)
    return
  }
  if (from === to) {
    fids.release(fid.place)
    fid.place = place
  } else fids.set(to, place, fid.uid)
  writer.u16(found.length)
  for (const stat of found) qid(writer, stat)
}

function* open(session: P9Connection, reader: MessageReader, writer: MessageWriter): Steps<void> {
  const fid = session.fids.get(reader.u32())
  const access = accessOf(reader.u32())
  if (fid.access !== null) throw new ShareError('EBUSY', 'the fid is open')
  if ((access.write || access.truncate) && session.readOnly) throw new ShareError('EROFS')
  const node = yield* session.fids.node(fid.place)
  const stat = yield* soon(node.stat())
  const kind = stat.mode & KIND
  if (kind === DIRECTORY) {
    if (access.write) throw new ShareError('EISDIR')
    // A client lists when it reads. A directory that not everybody may list is asked now, since opening it may fail.
    const isOpenToAll = (stat.mode & ALL_READ) === ALL_READ
    session.fids.list(fid, isOpenToAll ? [] : yield* soon(node.list()))
  } else if (kind === REGULAR) yield* session.fids.open(fid, access)
  // A device or pipe of the host's is not the guest's; a link is not followed.
  else throw new ShareError(kind === LINK ? 'ELOOP' : 'EACCES')
  fid.access = access
  qid(writer, stat).u32(0)
}

function* create(session: P9Connection, reader: MessageReader, writer: MessageWriter): Steps<void> {
  const { fids } = session
  const number = reader.u32()
  const fid = fids.get(number)
  const name = reader.text()
  const [flags, mode] = [reader.u32(), reader.u32()]
  const owner = ownerOf(fid, reader)
  checkName(name)
  if (fid.access !== null) throw new ShareError('EBUSY', 'the fid is open')
  const access = accessOf(flags)
  const exclusive = (flags & EXCLUSIVE) !== 0
  fids.checkOpen()
  const directory = fid.place
  const node = yield* fids.node(directory)
  const made = yield* soon(node.create(name, { ...access, ...owner, exclusive, mode: mode & PERMISSIONS }))
  try {
    const { place, stat } = yield* fids.enter(made.node, directory, name)
    fid.place = place
    fids.release(directory)
    fids.opened(fid, made.file)
    fid.access = access
    qid(writer, stat).u32(0)
  } catch (error) {
    yield* soon(made.file.close())
    throw error
  }
}

/** The owner of a file that a user makes: a request ends with its group, which is that of a directory with the bit set-group-ID. */
const ownerOf = ({ uid }: Fid, reader: MessageReader): ShareOwner => ({
  ...(uid !== NO_USER && { uid }),
  gid: reader.u32(),
})

/** Makes an entry in a directory, and answers with its identity. */
function* make(
  session: P9Connection,
  { fid, name }: { readonly fid: Fid; readonly name: string },
  writer: MessageWriter,
  act: (node: ShareNode) => Soon<void>,
): Steps<void> {
  checkName(name)
  const { place } = fid
  yield* soon(act(yield* session.fids.node(place)))
  const made = yield* session.fids.step(place, name)
  session.fids.release(made.place)
  qid(writer, made.stat)
}

function* read(session: P9Connection, reader: MessageReader, writer: MessageWriter): Steps<void> {
  const fid = session.fids.get(reader.u32())
  const offset = reader.offset()
  const count = fitting(session, reader.u32())
  if (fid.file === null || fid.access?.read !== true) throw new ShareError('EBADF')
  const data = session.scratch(count)
  const length = yield* soon(fid.file.read(offset, data))
  writer.u32(length).bytes(data.subarray(0, length))
}

function* write(session: P9Connection, reader: MessageReader, writer: MessageWriter): Steps<void> {
  const fid = session.fids.get(reader.u32())
  const offset = reader.offset()
  const data = reader.bytes(reader.u32())
  if (fid.file === null || fid.access?.write !== true) throw new ShareError('EBADF')
  if (offset + data.length > Number.MAX_SAFE_INTEGER) throw new ShareError('EFBIG')
  writer.u32(yield* soon(fid.file.write(offset, data)))
}

/** Entries of a directory. An offset is the number of the entry that follows, `.` and `..` first. */
function* readDirectory(session: P9Connection, reader: MessageReader, writer: MessageWriter): Steps<void> {
  const fid = session.fids.get(reader.u32())
  const first = reader.offset()
  const room = fitting(session, reader.u32())
  if (fid.names === null) throw new ShareError('EBADF')
  // A client that begins again sees later changes.
  if (first === 0) session.fids.list(fid, yield* soon((yield* session.fids.node(fid.place)).list()))
  const names = ['.', '..', ...fid.names]
  writer.u32(0)
  const begin = writer.length
  for (let at = first; at < names.length; at++) {
    const name = names[at]!
    const bytes = ENTRY_BYTES + textBytes(name)
    if (writer.length - begin + bytes > room) {
      if (writer.length === begin) throw new ShareError('EINVAL', 'there is no room for an entry')
      break
    }
    const stat = yield* statOf(session, fid, name)
    if (stat === null) continue
    qid(writer, stat)
      .u64(at + 1)
      .u8((stat.mode & KIND) >> 12)
      .text(name)
  }
  writer.count(HEAD, writer.length - begin)
}

/** @returns null for an entry that is gone */
function* statOf({ fids }: P9Connection, { place }: Fid, name: string): Steps<ShareStat | null> {
  const isDots = name === '.' || name === '..'
  try {
    if (isDots) return yield* soon((yield* fids.node(name === '.' ? place : (place.parent ?? place))).stat())
    return yield* soon(lookAt(yield* fids.node(place), name))
  } catch {
    return null
  }
}

/** Those of a time before 1970 count upwards, too. */
const nanosecondsOf = (time: bigint): bigint => ((time % NANOSECONDS) + NANOSECONDS) % NANOSECONDS

function* getAttributes(session: P9Connection, reader: MessageReader, writer: MessageWriter): Steps<void> {
  const stat = yield* soon((yield* session.fids.nodeOf(reader.u32())).stat())
  qid(writer.u64(BASIC_FIELDS), stat)
  writer
    .u32(stat.mode)
    .u32(stat.uid)
    .u32(stat.gid)
    .u64(stat.links)
    .u64(stat.device ?? 0)
    .u64(stat.size)
  writer.u64(4096).u64(Math.ceil(stat.allocated / 512))
  for (const time of [stat.accessedNs, stat.modifiedNs, stat.changedNs, 0n])
    writer.u64((time - nanosecondsOf(time)) / NANOSECONDS).u64(nanosecondsOf(time))
  // Generation and version of the data: neither is known.
  writer.u64(0).u64(0)
}

function* setAttributes(session: P9Connection, reader: MessageReader): Steps<void> {
  const node = yield* session.fids.nodeOf(reader.u32())
  const valid = reader.u32()
  const [mode, uid, gid, size] = [reader.u32(), reader.u32(), reader.u32(), reader.u64()]
  const time = (): bigint => BigInt.asIntN(64, reader.u64()) * NANOSECONDS + reader.u64()
  const [accessed, modified] = [time(), time()]
  const changes: ShareChanges = {
    ...((valid & SET_MODE) !== 0 && { mode: mode & PERMISSIONS }),
    ...((valid & SET_UID) !== 0 && { uid }),
    ...((valid & SET_GID) !== 0 && { gid }),
    ...((valid & SET_SIZE) !== 0 && { size: sizeOf(size) }),
    ...((valid & SET_ACCESSED) !== 0 && { accessedNs: (valid & ACCESSED_GIVEN) === 0 ? 'now' : accessed }),
    ...((valid & SET_MODIFIED) !== 0 && { modifiedNs: (valid & MODIFIED_GIVEN) === 0 ? 'now' : modified }),
  }
  yield* soon(node.change(changes))
}

function sizeOf(size: bigint): number {
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw new ShareError('EFBIG')
  return Number(size)
}

function* statistics(session: P9Connection, reader: MessageReader, writer: MessageWriter): Steps<void> {
  const room = yield* soon((yield* session.fids.nodeOf(reader.u32())).room())
  writer.u32(STATFS_MAGIC).u32(room.blockBytes).u64(room.blocks).u64(room.freeBlocks).u64(room.freeBlocks)
  writer.u64(room.files).u64(room.freeFiles).u64(0).u32(255)
}

function* rename(session: P9Connection, from: Place, name: string, to: Place, newName: string): Steps<void> {
  checkName(name)
  checkName(newName)
  const directory = yield* session.fids.node(from)
  yield* soon(directory.rename(name, yield* session.fids.node(to), newName))
  session.fids.renamed(from, name, to, newName)
}

function* renameFid(session: P9Connection, reader: MessageReader): Steps<void> {
  const { place } = session.fids.get(reader.u32())
  const to = session.fids.get(reader.u32()).place
  if (place.parent === null) throw new ShareError('EBUSY', 'the root has no name')
  yield* rename(session, place.parent, place.name, to, reader.text())
}

function* renameAt(session: P9Connection, reader: MessageReader): Steps<void> {
  const from = session.fids.get(reader.u32()).place
  const name = reader.text()
  const to = session.fids.get(reader.u32()).place
  yield* rename(session, from, name, to, reader.text())
}

function* unlinkAt(session: P9Connection, reader: MessageReader): Steps<void> {
  const node = yield* session.fids.nodeOf(reader.u32())
  const name = reader.text()
  checkName(name)
  yield* soon(node.remove(name, (reader.u32() & REMOVE_DIRECTORY) !== 0))
}

/** The fid is gone, whatever becomes of the file. */
function* remove(session: P9Connection, reader: MessageReader): Steps<void> {
  const number = reader.u32()
  const { place } = session.fids.get(number)
  try {
    if (session.readOnly) throw new ShareError('EROFS')
    if (place.parent === null) throw new ShareError('EBUSY', 'the root has no name')
    const { mode } = yield* soon((yield* session.fids.node(place)).stat())
    const directory = yield* session.fids.node(place.parent)
    yield* soon(directory.remove(place.name, (mode & KIND) === DIRECTORY))
  } finally {
    yield* session.fids.clunk(number)
  }
}

function* link(session: P9Connection, reader: MessageReader): Steps<void> {
  const directory = session.fids.get(reader.u32()).place
  const { place } = session.fids.get(reader.u32())
  const name = reader.text()
  checkName(name)
  if (place.parent === null) throw new ShareError('EPERM', 'the root has no name')
  const node = yield* session.fids.node(directory)
  yield* soon(node.addName(name, yield* session.fids.node(place.parent), place.name))
}

function* lock(session: P9Connection, reader: MessageReader, writer: MessageWriter): Steps<void> {
  const fid = session.fids.get(reader.u32())
  const type = reader.u8()
  reader.u32()
  const range = `${reader.u64()} ${reader.u64()}`
  const [GRANTED, BLOCKED] = [0, 1]
  const isGranted = session.readOnly || (yield* session.fids.lock(fid, reader.u32(), range, type !== UNLOCKED))
  writer.u8(isGranted ? GRANTED : BLOCKED)
}

function getLock(_session: P9Connection, reader: MessageReader, writer: MessageWriter): void {
  reader.u32()
  reader.u8()
  const [start, length, process] = [reader.u64(), reader.u64(), reader.u32()]
  writer.u8(UNLOCKED).u64(start).u64(length).u32(process).text(reader.text())
}

function* sync(session: P9Connection, reader: MessageReader): Steps<void> {
  yield* soon(session.fids.get(reader.u32()).file?.sync())
}

function* readLink(session: P9Connection, reader: MessageReader, writer: MessageWriter): Steps<void> {
  const { parent, name } = session.fids.get(reader.u32()).place
  if (parent === null) throw new ShareError('EINVAL', 'the root is no link')
  writer.text(yield* soon((yield* session.fids.node(parent)).readLink(name)))
}

function* makeLink(session: P9Connection, reader: MessageReader, writer: MessageWriter): Steps<void> {
  const entry = { fid: session.fids.get(reader.u32()), name: reader.text() }
  const text = reader.text()
  const owner = ownerOf(entry.fid, reader)
  yield* make(session, entry, writer, (node) => node.makeLink(entry.name, text, owner))
}

function* makeDirectory(session: P9Connection, reader: MessageReader, writer: MessageWriter): Steps<void> {
  const entry = { fid: session.fids.get(reader.u32()), name: reader.text() }
  const mode = reader.u32() & PERMISSIONS
  const owner = ownerOf(entry.fid, reader)
  yield* make(session, entry, writer, (node) => node.makeDirectory(entry.name, mode, owner))
}

/** Linux's mknod(2) makes a file, too. A host makes no pipes and devices for a guest. */
function* makeNode(session: P9Connection, reader: MessageReader, writer: MessageWriter): Steps<void> {
  const entry = { fid: session.fids.get(reader.u32()), name: reader.text() }
  const mode = reader.u32()
  if ((mode & KIND) !== REGULAR) throw new ShareError('EOPNOTSUPP')
  reader.u64()
  const how = { read: false, write: true, truncate: false, exclusive: true, mode: mode & PERMISSIONS }
  const owner = ownerOf(entry.fid, reader)
  yield* make(session, entry, writer, (node) =>
    after(node.create(entry.name, { ...how, ...owner }), (made) => {
      made.node.release()
      return made.file.close()
    }),
  )
}

/** Requests by number, without Tversion and Tflush. Source: diod, "9P2000.L Protocol"; Plan 9, section 5. */
export const OPERATIONS: Readonly<Partial<Record<number, Operation>>> = {
  8: { perform: statistics },
  12: { perform: open },
  14: { perform: create, writes: true },
  16: { perform: makeLink, writes: true },
  18: { perform: makeNode, writes: true },
  20: { perform: renameFid, writes: true },
  22: { perform: readLink },
  24: { perform: getAttributes },
  26: { perform: setAttributes, writes: true },
  40: { perform: readDirectory },
  50: { perform: sync },
  52: { perform: lock },
  54: { perform: getLock },
  70: { perform: link, writes: true },
  72: { perform: makeDirectory, writes: true },
  74: { perform: renameAt, writes: true },
  76: { perform: unlinkAt, writes: true },
  104: { perform: attach },
  110: { perform: walk },
  116: { perform: read },
  118: { perform: write, writes: true },
  120: { perform: (session, reader) => session.fids.clunk(reader.u32()) },
  122: { perform: remove },
}
