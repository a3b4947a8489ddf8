/** A machine of its own in a cluster: a file of `retrap run` says what it is, and it starts its programs itself. */
import { readFileSync } from 'node:fs'
import {
  addressOf,
  Card,
  ClusterError,
  type ClusterGuest,
  conducted,
  type Disk,
  type GuestListener,
  MOST_LINE,
  type PlacedMachine,
  readReport,
} from '@retrap/cluster'
import type { BlockBackend } from '@retrap/device'
import type { MachineVirtioDevice } from '@retrap/machine'
import { attempt } from '../../errors.ts'
import type { MachineOptions } from '../../machine/machine-contract.ts'
import { createMachine, LinePort } from '../exec/guest.ts'
import { openMachine, type OpenTestMachine, readMachine } from '../test/machine.ts'
import {
  type ClusterGuestParts,
  COMPILED_BYTES,
  copyBegun,
  DECODED_BYTES,
  EPOCH_SECONDS,
  FORKS,
  type MachineWays,
  plain,
  sumOf,
} from './cluster-guest.ts'
import type { ForkedMachine, MadeGuest } from './recordings.ts'

/** Name of the port for reports: `/dev/virtio-ports/retrap.report` of Linux. */
const REPORT_PORT = 'retrap.report'

/** Options of a machine's file that are the cluster's, and what has their place there. */
const OF_CLUSTER: Readonly<Record<string, string>> = {
  ...{ arch: "the cluster's file has it", cpus: "the cluster's file has it", memory: "the cluster's file has it" },
  ...{ nic: 'its network is that of the cluster', netdev: 'its network is that of the cluster' },
}

/** Opens the files of a machine. @param tell - is told a notice @throws CliError `ERR_INPUT`, ClusterError `ERR_CLUSTER` that names the machine */
export async function openOwnMachine(
  path: string,
  machine: PlacedMachine,
  tell: (text: string) => void,
): Promise<OpenTestMachine> {
  const { name, arch, cpus, memory, disk } = machine
  const wrong = (why: string): ClusterError => new ClusterError('ERR_CLUSTER', `machine ${name}: ${why}`)
  const described = contentsOf(path)
  const other = Object.keys(described).find((key) => key in OF_CLUSTER)
  if (other !== undefined) throw wrong(`${path}: ${other}: ${OF_CLUSTER[other]}; leave it out`)
  const own = { arch: arch === 'arm64' ? 'arm64' : 'amd64', cpus, memory: `${Math.ceil(memory / 2 ** 20)}M` }
  const opened = await openMachine(readMachine(path, '', { ...described, ...own }), {
    stderr: { write: (line) => tell(String(line).replaceAll(/^retrap: |\n$/g, '')), on: () => undefined },
    isReplay: false,
  })
  const { drives = [] } = opened.machine
  const bytes = drives[0]?.medium?.properties.bytes ?? 0
  const why =
    drives.length > 1
      ? 'it has several disks, and a machine of a cluster has one'
      : drives.length === 1 && disk === undefined
        ? 'it has a disk image: expected `disk`, the size of the disk that the image is put on'
        : drives.length === 0 && disk !== undefined
          ? 'it has `disk`, and its file names no disk image'
          : bytes > (disk?.size ?? 0)
            ? `its disk image has ${bytes} bytes, which are more than those of \`disk\``
            : undefined
  if (why === undefined) return opened
  await opened.close()
  throw wrong(why)
}

const contentsOf = (path: string): Readonly<Record<string, unknown>> =>
  attempt(path, () => JSON.parse(readFileSync(path, 'utf8')) as Readonly<Record<string, unknown>>)

/** The parts of a machine of its own. */
export interface OwnGuestParts
  extends MachineWays, Pick<ClusterGuestParts, 'machine' | 'units' | 'seed' | 'ns' | 'disk' | 'recording'> {
  readonly opened: OpenTestMachine
}

/** Makes a machine at power-on. @throws errors of a machine that cannot be made */
export async function makeOwnGuest(parts: OwnGuestParts, listener: GuestListener): Promise<ClusterGuest> {
  const { opened, disk, recording } = parts
  const medium = opened.machine.drives?.[0]?.medium
  if (disk?.isBlank === true && medium) await copyImage(medium, disk)
  const ends = new OwnEnds(new Card(), listener)
  const options: MachineOptions = {
    ...opened.machine,
    ...devicesOf(parts, ends, disk, opened.machine.virtio),
    epochSeconds: EPOCH_SECONDS + Math.floor(parts.ns / 1e9),
    entropySeed: parts.seed,
    codeCacheBytes: DECODED_BYTES,
    jit: parts.isCompiled && { keep: parts.units, codeBytes: COMPILED_BYTES },
    ...(parts.isForked && { forks: FORKS }),
  }
  const made = await (recording?.record(options) ??
    createMachine(options).then((one) => plain(one as unknown as ForkedMachine)))
  return guestOf(made, parts, ends, disk)
}

const PIECE_BYTES = 1 << 20
const PAGE_BYTES = 4096

/** Puts an image onto a blank disk, without its pages of zeros. */
async function copyImage(medium: BlockBackend, disk: Disk): Promise<void> {
  const { bytes } = medium.properties
  for (let at = 0; at < bytes; at += PIECE_BYTES) {
    const piece = new Uint8Array(Math.min(PIECE_BYTES, bytes - at))
    // oxlint-disable-next-line no-await-in-loop -- an image may be larger than memory
    await medium.read(at, piece)
    for (let begin = 0; begin < piece.length; begin += PAGE_BYTES) {
      const page = piece.subarray(begin, begin + PAGE_BYTES)
      // oxlint-disable-next-line no-await-in-loop -- as above
      if (page.some((byte) => byte !== 0)) await disk.write(at + begin, page)
    }
  }
  await disk.flush()
}

/** Hears a machine of its own: the first serial port, of whose lines some are reports, and the port for these alone. */
export function ownPorts(
  now: () => number,
  { line, report }: Pick<GuestListener, 'line' | 'report'>,
): { readonly serial: LinePort; readonly report: LinePort } {
  const textOf = (bytes: string): string => Buffer.from(bytes, 'latin1').toString().replace(/\r$/, '')
  const print = (text: string): void => (readReport(text) === undefined ? line : report)(now(), text)
  return {
    serial: new LinePort((bytes) => print(textOf(bytes)), MOST_LINE),
    report: new LinePort((bytes) => report(now(), textOf(bytes)), MOST_LINE),
  }
}

/** The host's ends of a machine's devices. */
class OwnEnds {
  readonly card: Card
  readonly ports: ReturnType<typeof ownPorts>
  #clock: { now(): number } = { now: () => 0 }

  constructor(card: Card, listener: GuestListener) {
    this.card = card
    this.ports = ownPorts(() => this.#clock.now(), listener)
  }

  /** Names the machine that has these. */
  attach({ machine }: MadeGuest): void {
    this.#clock = machine.domain.clock
    machine.serialPorts[0]?.onTransmit((bytes) => void this.ports.serial.send(bytes))
  }
}

/** The devices that the cluster gives a machine. */
function devicesOf(
  { machine, opened }: OwnGuestParts,
  { card, ports }: OwnEnds,
  disk: Disk | undefined,
  virtio: readonly MachineVirtioDevice[] = [],
): Pick<MachineOptions, 'virtio' | 'drives'> {
  const report = { stream: ports.report, name: REPORT_PORT, console: false, inReplays: true }
  const [drive] = opened.machine.drives ?? []
  return {
    virtio: [
      ...virtio,
      { kind: 'net', network: card, macAddress: addressOf(machine.number) },
      { kind: 'console', ports: [report] },
    ],
    ...(drive && { drives: [disk === undefined ? drive : { ...drive, medium: disk }] }),
  }
}

/** @param before - the instructions that its original had retired */
function guestOf(
  made: MadeGuest,
  parts: OwnGuestParts,
  ends: OwnEnds,
  disk: Disk | undefined,
  before = 0,
): ClusterGuest {
  const { name, memory } = parts.machine
  ends.attach(made)
  disk?.attach(made.machine.domain.clock, made.time)
  const retired = (): number => before + made.machine.domain.instructions
  return {
    ...conducted(made.machine, ends.card, made.time, before > 0),
    start: () => Promise.reject(new ClusterError('ERR_MACHINE', `${name} starts its programs itself`)),
    // Faults that programs of ours make are refused for such a machine.
    disturb: () => undefined,
    turnClock: (ns) => made.time.timer(() => made.machine.moveWallClock(ns)).armAfter(0),
    async fork(listener, given) {
      const copy = given as Disk | undefined
      const others = new OwnEnds(ends.card.copy(), listener)
      copyBegun(ends.ports, others.ports)
      const fresh = await parts.opened.renew()
      const devices = devicesOf(parts, others, copy, fresh.virtio)
      const clone = await made.machine.fork({ ...fresh, ...devices, generation: { after: 'same' } })
      return guestOf(plain(clone), parts, others, copy, retired())
    },
    digest: () => Promise.resolve(`${retired()} instructions, RAM ${sumOf(made.machine, memory)}`),
    close: () => made.close(),
  }
}
