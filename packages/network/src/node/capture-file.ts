import { closeSync, openSync, readSync, statSync, writeSync } from 'node:fs'
import type { PacketBackend } from '@retrap/device'
import { capturePackets, type CaptureOptions, NetworkError } from '../index.ts'

/** Frames of one turn of the event loop are written together, or when so much has come. */
const MOST_HELD = 1 << 20
/** What captures begin with. Sources: pcap-savefile(5); draft-ietf-opsawg-pcapng, "Section Header Block". */
const CAPTURES: ReadonlySet<string> = new Set(['d4c3b2a1', 'a1b2c3d4', '4d3cb2a1', 'a1b23c4d', '0a0d0d0a'])

/** A capture into a file. */
export interface CaptureFile {
  /** The network for the card. */
  readonly network: PacketBackend
  /** Writes what is left, and closes the file. What comes later is not noted. @throws NetworkError `ERR_OPEN` if not all was written */
  close(): void
}

/**
 * Writes what passes between a card and its network to a file. An earlier capture is written anew, as by tcpdump and by
 * QEMU; any other file is left as it is, for its name may be a mistake.
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
  // The options are looked at before an earlier capture is lost. What the file begins with is written later.
  const captured = capturePackets(network, write, options)
  try {
    if (!isFree(path)) throw new Error('it is there and is no capture; it is not overwritten')
    file = openSync(path, 'w')
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

/** Whether there is nothing at a path that a capture would destroy. A FIFO, such as Wireshark's, has nothing. */
function isFree(path: string): boolean {
  const state = statSync(path, { throwIfNoEntry: false })
  if (state === undefined || !state.isFile() || state.size === 0) return true
  const head = Buffer.alloc(4)
  const file = openSync(path, 'r')
  try {
    readSync(file, head)
  } finally {
    closeSync(file)
  }
  return CAPTURES.has(head.toString('hex'))
}

const failure = (path: string, error: unknown): NetworkError =>
  new NetworkError('ERR_OPEN', `${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
