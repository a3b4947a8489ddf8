/** A guest of `retrap exec`: its machine, and the ends of its ports. */
import { createPc, type MachineExit, type MachineVirtioDevice, type PcOptions } from '@retrap/machine'
import { MemoryShare, type Share } from '@retrap/virtio/p9'
import type { ByteStreamBackend } from '@retrap/device'
import { CliError } from '../errors.ts'
import { EXEC_READY } from '../linux/exec-initramfs.ts'
import { loadInterpreters } from '../machine/interpreters.ts'
import { openSnapshotFile, writeSnapshotFile } from '../snapshots/snapshot-file.ts'
import { UnitCache } from '../unit-cache/unit-cache.ts'
import { type ExecEnds, type ExecKind, execOptions, readExecImages } from './machine.ts'
import { SentPort, TakenPort } from './ports.ts'

/** The other ends of a guest's streams. */
export interface GuestStreams {
  readonly stdin: SentPort
  readonly stdout: TakenPort
  readonly stderr: TakenPort
  readonly terminal: ByteStreamBackend
  /** Hears each line of the port for status. */
  readonly status: (line: string) => void
}

const nothing = (): TakenPort => new TakenPort(() => true)

/** Streams that nothing is connected to. */
const unused = (status: (line: string) => void): GuestStreams => ({
  stdin: new SentPort(),
  stdout: nothing(),
  stderr: nothing(),
  terminal: nothing(),
  status,
})

/** How long a guest may take to boot. */
const BOOT_MS = 600_000
const LAST_WORDS = 400

/** A guest, booted or restored. */
export class ExecGuest {
  readonly jobs: SentPort
  readonly signals: SentPort
  readonly #machine: Awaited<ReturnType<typeof createPc>>
  readonly #units: UnitCache

  private constructor(
    machine: Awaited<ReturnType<typeof createPc>>,
    units: UnitCache,
    jobs: SentPort,
    signals: SentPort,
  ) {
    this.#machine = machine
    this.#units = units
    this.jobs = jobs
    this.signals = signals
  }

  static async #make(
    kind: ExecKind,
    streams: GuestStreams,
    shares: ExecEnds['shares'],
    network: readonly MachineVirtioDevice[],
    more: Partial<PcOptions>,
  ): Promise<ExecGuest> {
    const [jobs, signals] = [new SentPort(), new SentPort()]
    const { stdin, stdout, stderr, terminal } = streams
    const ports = { terminal, jobs, signals, status: lines(streams.status), stdin, stdout, stderr }
    await loadInterpreters('x86')
    const units = new UnitCache(undefined, () => {})
    const options = { ...execOptions(kind, { ports, shares, network }), ...more, jit: { keep: units } }
    return new ExecGuest(await createPc(options), units, jobs, signals)
  }

  /** Boots a machine until it waits for a job, and saves it. @throws CliError where it does not come to that */
  static async keep(
    path: string,
    kind: ExecKind,
    network: readonly MachineVirtioDevice[],
    tell: (text: string) => void,
  ): Promise<void> {
    const images = await readExecImages(kind, tell)
    const shares = Array.from({ length: kind.shares + 1 }, () => ({
      share: new MemoryShare() as Share,
      readOnly: true,
    }))
    const waits = new AbortController()
    let isReady = false
    const streams = unused((line) => {
      isReady ||= line === EXEC_READY
      // The guest reads the port for jobs, and comes to rest.
      if (isReady) setTimeout(() => waits.abort(), SETTLE_MS)
    })
    const guest = await this.#make(kind, streams, shares, network, images)
    try {
      let said = ''
      guest.#machine.serial.onTransmit(
        (bytes) => (said = (said + Buffer.from(bytes).toString('latin1')).slice(-LAST_WORDS)),
      )
      const exit = await guest.run(waits.signal, BOOT_MS)
      if (!isReady) {
        const last =
          said
            .trim()
            .split(/[\r\n]+/)
            .at(-1) ?? ''
        throw new CliError('ERR_INPUT', `the guest does not boot (${exit.reason})${last === '' ? '' : `: ${last}`}`)
      }
      const run = { version: 1, arguments: ['exec'], savedAt: new Date().toISOString() } as const
      await writeSnapshotFile(path, run, await guest.#machine.save())
    } finally {
      guest.close()
    }
  }

  /** Goes on with a machine that waits for a job. @throws CliError, MachineError where the file is damaged */
  static async restore(
    path: string,
    kind: ExecKind,
    streams: GuestStreams,
    { shares, network }: Pick<ExecEnds, 'shares' | 'network'>,
    onLost: (message: string) => void,
  ): Promise<ExecGuest> {
    const snapshot = await openSnapshotFile(path, { onLost })
    return this.#make(kind, streams, shares, network, { snapshot } as Partial<PcOptions>)
  }

  /** Runs the machine until a signal ends it, or the guest. */
  run(signal: AbortSignal, timeoutMs: number): Promise<MachineExit> {
    return this.#machine.run({ signal, ...(timeoutMs !== Infinity && { timeoutMs }) })
  }

  /** Ends the machine. */
  close(): void {
    this.#machine.close()
    this.#units.close()
  }
}

const SETTLE_MS = 200

/** A port that hears whole lines. */
function lines(hear: (line: string) => void): TakenPort {
  let rest = ''
  return new TakenPort((bytes) => {
    const all = (rest + Buffer.from(bytes).toString('latin1')).split('\n')
    rest = (all.pop() ?? '').slice(-LAST_WORDS)
    for (const line of all) hear(line)
    return true
  })
}
