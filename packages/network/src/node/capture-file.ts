import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readSync,
  realpathSync,
  statSync,
  writeSync,
} from 'node:fs'
import type { PacketBackend } from '@retrap/device'
import { capturePackets, NetworkError } from '../index.ts'
import type { CaptureOptions } from '../capture.ts'

/** Frames of one turn of the event loop are written together, or when this much has come. */
const MOST_HELD = 1 << 20
/** The first bytes of captures. Sources: pcap-savefile(5); draft-ietf-opsawg-pcapng, "Section Header Block". */
const CAPTURES: ReadonlySet<string> = new Set(['d4c3b2a1', 'a1b2c3d4', '4d3cb2a1', 'a1b23c4d', '0a0d0d0a'])

/** A capture into a file. */
export interface CaptureFile {
  /** The network for the card. */
  readonly network: PacketBackend
  /**
   * Writes remaining data, and closes the file. Later packets are ignored. @throws NetworkError `ERR_OPEN` if not all was written
   */
  close(): void
}

/**
 * Writes the frames between a card and its network to a file. An earlier capture is written anew, as by tcpdump and by
 * QEMU; any other file is left as it is, for its name may be a mistake, and so is a file behind a symbolic link.
 *
 * @throws NetworkError `ERR_OPEN`, `ERR_OPTION`
 */
export function captureToFile(network: PacketBackend, path: string, options: CaptureOptions = {}): CaptureFile {
  let file = -1
  let held: Uint8Array[] = []
  let heldBytes = 0
  let trouble: unknown
  let open = true
  const flush = (): void => {
    const pieces = held
    held = []
    heldBytes = 0
    // A host disk that is full ends the capture, and not the machine.
    if (!open || file < 0 || trouble !== undefined || pieces.length === 0) return
    try {
      const bytes = Buffer.concat(pieces)
      for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at)
    } catch (error) {
      trouble = error
    }
  }
  const write = (bytes: Uint8Array): void => {
    if (!open) return
    if (held.length === 0) setImmediate(flush)
    held.push(bytes)
    heldBytes += bytes.length
    if (heldBytes >= MOST_HELD) flush()
  }
  // The options are looked at before an earlier capture is lost. The beginning of the file is written later.
  const captured = capturePackets(network, write, options)
  try {
    file = openCapture(path)
  } catch (error) {
    throw failure(path, error)
  }
  return {
    network: captured,
    close() {
      if (!open) return
      flush()
      open = false
      closeSync(file)
      if (trouble !== undefined) throw failure(path, trouble)
    },
  }
}

/**
 * Opens the file of a capture, where that destroys nothing but an earlier capture. A link to a file is refused, for the
 * capture would be somewhere else than its name says. A FIFO such as Wireshark's, or /dev/stdout on a pipe, has nothing to
 * destroy.
 */
function openCapture(path: string): number {
  const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true
  const target = statSync(path, { throwIfNoEntry: false })
  if (target !== undefined && !target.isFile()) {
    const file = openSync(path, constants.O_WRONLY)
    if (!fstatSync(file).isFile()) return file
    closeSync(file)
  }
  if (isLink) {
    const where = target === undefined ? 'a file that is not there' : realpathSync(path)
    throw new Error(`it is a symbolic link to ${where}; give the name of the file itself`)
  }
  // Check and writes use the same open file, even if its name changes meanwhile. Windows lacks the flag.
  const file = openSync(path, constants.O_RDWR | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0), 0o666)
  try {
    if (!isFree(file)) throw new Error('it is there and is no capture; it is not overwritten')
    ftruncateSync(file)
    return file
  } catch (error) {
    closeSync(file)
    throw error
  }
}

/** Whether a file is empty or a capture. */
function isFree(file: number): boolean {
  if (fstatSync(file).size === 0) return true
  const head = Buffer.alloc(4)
  readSync(file, head, 0, head.length, 0)
  return CAPTURES.has(head.toString('hex'))
}

const failure = (path: string, error: unknown): NetworkError =>
  new NetworkError('ERR_OPEN', `${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
