/** A machine of its own in a cluster: a file of `retrap run` describes it, and it starts its programs itself. */
import { addressOf, ClusterError, type Disk, type GuestListener, MOST_LINE, readReport } from '@retrap/cluster'
import type { BlockBackend } from '@retrap/device'
import type { MachineVirtioDevice, PcForkOptions } from '@retrap/machine'
import type { MachineOptions } from '@retrap/linux-guest/machine/machine-contract'
import { EPOCH_SECONDS, type GuestEnds, type GuestParts, type GuestSystem } from './cluster-guest.ts'
import { LinePort } from '@retrap/linux-guest/jobs/ports'
import type { ForkedMachine, MadeGuest } from './recordings.ts'

/** Name of the port for reports: `/dev/virtio-ports/retrap.report` of Linux. */
const REPORT_PORT = 'retrap.report'

/** A machine whose files are open. */
export interface OwnMachine {
  readonly machine: MachineOptions
  /** Makes models for the next clone, and cards that take the networks over from the clone before. */
  renew(): Promise<PcForkOptions>
}

type Lines = Readonly<Record<'serial' | 'report', LinePort>>

/** The system that a machine's own file describes, at power-on. */
export class OwnSystem implements GuestSystem<Lines> {
  readonly #parts: GuestParts
  readonly #opened: OwnMachine
  readonly memoryBytes: number
  readonly preparation = ''

  constructor(parts: GuestParts, opened: OwnMachine) {
    this.#parts = parts
    this.#opened = opened
    this.memoryBytes = parts.machine.memory
  }

  async fill(disk: Disk): Promise<void> {
    const medium = this.#opened.machine.drives?.[0]?.medium
    if (medium) await copyImage(medium, disk)
  }

  readonly lines: typeof ownPorts = ownPorts

  async options(ends: GuestEnds<Lines>, disk: Disk | undefined): Promise<MachineOptions> {
    const { machine } = this.#opened
    return {
      ...machine,
      ...this.#devices(ends, disk, machine.virtio),
      epochSeconds: EPOCH_SECONDS + Math.floor(this.#parts.ns / 1e9),
      entropySeed: this.#parts.seed,
    }
  }

  async devices(ends: GuestEnds<Lines>, disk: Disk | undefined): Promise<PcForkOptions> {
    const fresh = await this.#opened.renew()
    return { ...fresh, ...this.#devices(ends, disk, fresh.virtio) }
  }

  /** The devices that the cluster gives a machine. */
  #devices(
    { card, lines }: GuestEnds<Lines>,
    disk: Disk | undefined,
    virtio: readonly MachineVirtioDevice[] = [],
  ): Pick<MachineOptions, 'virtio' | 'drives'> {
    const report = { stream: lines.report, name: REPORT_PORT, console: false, inReplays: true }
    const [drive] = this.#opened.machine.drives ?? []
    return {
      virtio: [
        ...virtio,
        { kind: 'net', network: card, macAddress: addressOf(this.#parts.machine.number) },
        { kind: 'console', ports: [report] },
      ],
      ...(drive && { drives: [disk === undefined ? drive : { ...drive, medium: disk }] }),
    }
  }

  connect(machine: ForkedMachine, { serial }: Lines): void {
    machine.serialPorts[0]?.onTransmit((bytes) => void serial.send(bytes))
  }

  turnClock(ns: number, { machine, time }: MadeGuest): void {
    time.timer(() => machine.moveWallClock(ns)).armAfter(0)
  }

  start(): Promise<string> {
    const { name } = this.#parts.machine
    return Promise.reject(new ClusterError('ERR_MACHINE', `${name} starts its programs itself`))
  }
}

const PIECE_BYTES = 1 << 20
const PAGE_BYTES = 4096

/** Puts an image onto a blank disk, without its pages of zeros. */
async function copyImage(medium: BlockBackend, disk: Disk): Promise<void> {
  const { bytes } = medium.properties
  for (let at = 0; at < bytes; at += PIECE_BYTES) {
    const piece = new Uint8Array(Math.min(PIECE_BYTES, bytes - at))
    await medium.read(at, piece)
    for (let begin = 0; begin < piece.length; begin += PAGE_BYTES) {
      const page = piece.subarray(begin, begin + PAGE_BYTES)
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
