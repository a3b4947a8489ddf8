import { putFields } from '@retrap/basics'
import type { PacketBackend, PacketClient } from '@retrap/device'
import { NetworkError } from './errors.ts'

/** A capture with times in nanoseconds. */
const MAGIC = 0xa1b2_3c4d
const LINK_ETHERNET = 1
const FILE_HEADER = 24
const RECORD_HEADER = 16
const MOST_SNAP = 262_144

/** Options of {@link capturePackets}. */
export interface CaptureOptions {
  /** Bytes of each frame that are kept; default 65535. */
  readonly snapBytes?: number | undefined
  /** Time of a frame, in nanoseconds from 1970; default the host's. */
  readonly now?: (() => bigint) | undefined
}

/**
 * Puts a listener between a card and its network, which writes the frames as a capture that tcpdump and Wireshark read.
 *
 * @param network - network that gets the frames
 * @param write - takes the file's bytes, piece by piece, and may keep them
 * @returns the network for the card
 * @throws NetworkError `ERR_OPTION`
 *
 * Source: pcap-savefile(5).
 */
export function capturePackets(
  network: PacketBackend,
  write: (bytes: Uint8Array) => void,
  options: CaptureOptions = {},
): PacketBackend {
  const snapBytes = options.snapBytes ?? 65_535
  if (!Number.isInteger(snapBytes) || snapBytes < 1 || snapBytes > MOST_SNAP) {
    throw new NetworkError('ERR_OPTION', `snapBytes ${snapBytes}: expected 1 to ${MOST_SNAP}`)
  }
  const now = options.now ?? hostTime
  write(fileHeader(snapBytes))
  const note = (frame: Uint8Array): void => write(record(frame, snapBytes, now()))
  return {
    get linkUp() {
      return network.linkUp
    },
    maximumBytes: network.maximumBytes,
    ...(network.macAddress !== undefined && { macAddress: network.macAddress }),
    connect(client: PacketClient) {
      network.connect({
        receive(frame) {
          const taken = client.receive(frame)
          // A frame that the card has no room for comes again.
          if (taken) note(frame)
          return taken
        },
        drained: () => client.drained(),
        linkChanged: (up) => client.linkChanged(up),
      })
    },
    send(frame) {
      // The guest may change the frame meanwhile: capture and send the same copy.
      const copy = new Uint8Array(frame)
      const taken = network.send(copy)
      if (taken) note(copy)
      return taken
    },
    ready: () => network.ready(),
    filter: (addresses) => network.filter?.(addresses),
  }
}

function fileHeader(snapBytes: number): Uint8Array {
  const bytes = new Uint8Array(FILE_HEADER)
  putFields(bytes, { u16: { 4: 2, 6: 4 }, u32: { 0: MAGIC, 16: snapBytes, 20: LINK_ETHERNET } })
  return bytes
}

function record(frame: Uint8Array, snapBytes: number, nanoseconds: bigint): Uint8Array {
  const kept = Math.min(frame.length, snapBytes)
  const bytes = new Uint8Array(RECORD_HEADER + kept)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, Number(nanoseconds / 1_000_000_000n), true)
  view.setUint32(4, Number(nanoseconds % 1_000_000_000n), true)
  view.setUint32(8, kept, true)
  view.setUint32(12, frame.length, true)
  bytes.set(frame.subarray(0, kept), RECORD_HEADER)
  return bytes
}

/** Returns the host's time: its date at the first call, plus a monotonic duration. */
const hostTime = (): bigint => {
  start ??= BigInt(Date.now()) * 1_000_000n - BigInt(Math.round(performance.now() * 1e6))
  return start + BigInt(Math.round(performance.now() * 1e6))
}
let start: bigint | undefined
