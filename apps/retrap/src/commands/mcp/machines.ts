import { type MadeBoard, makeBoard, recordBoard, type RecordedBoard, type WriteRecording } from './boards.ts'
import type { Bootable } from './boot.ts'
import type { Call } from './call.ts'
import type { ToolNetwork } from './networks.ts'
import { recordRun } from './recorded-run.ts'
import { ToolError } from './tool-error.ts'
import { type MachineFacts, type MachineParts, SharedDisks, ToolMachine } from './tool-machine.ts'

export interface MachineLimits {
  /** Machines at a time. */
  readonly machines: number
  /** Host memory for all machines, in bytes. */
  readonly memoryBytes: number
  /** Machines that run in the background at a time. */
  readonly running: number
}

/** RAM that a fork may write. */
const FORK_BYTES = 64 << 20
/** Most forks of one machine, including forks of its forks. */
const MOST_FORKS = 7
/** Factor for the memory of a recorded machine: going back makes a second machine, and who_wrote a third. */
const RECORDED_TIMES = 3

/** The machines of a server, by name. */
export class Machines {
  readonly #limits: MachineLimits
  readonly #machines = new Map<string, ToolMachine>()
  /** Names of machines, including those being made or closed. */
  readonly #names = new Set<string>()
  /** Host memory of all machines, in bytes. */
  #hostBytes = 0
  #lastNumber = 0

  constructor(limits: MachineLimits) {
    this.#limits = limits
  }

  get all(): readonly ToolMachine[] {
    return [...this.#machines.values()]
  }

  /** @throws ToolError `ERR_MACHINE` */
  get(name: string): ToolMachine {
    const machine = this.#machines.get(name)
    if (machine !== undefined) return machine
    const names = [...this.#machines.keys()].join(', ')
    throw new ToolError(
      'ERR_MACHINE',
      `there is no machine ${name}; ${names === '' ? 'boot one' : `there are ${names}`}`,
    )
  }

  /** Makes a machine and adds it to the list. Its disks close with it. */
  async boot(name: string | undefined, bootable: Bootable, isRecorded: boolean): Promise<ToolMachine> {
    const { board, system, network } = bootable
    const { memoryBytes } = board.options
    const hostBytes = memoryBytes * (isRecorded ? RECORDED_TIMES : 1)
    const disks = new SharedDisks(bootable.close)
    try {
      return await this.#add(name, { system, kind: board.kind, memoryBytes, hostBytes }, async (facts) => {
        if (isRecorded) {
          const keepsPace = network !== undefined
          return this.#recorded(facts, disks, (write) => recordBoard(board, write, { keepsPace }), network)
        }
        const forks = { clones: MOST_FORKS, writtenBytes: Math.min(FORK_BYTES, memoryBytes) }
        return this.#plain(facts, await makeBoard(board, forks), disks, network)
      })
    } catch (error) {
      network?.close()
      await disks.release()
      throw error
    }
  }

  /** Makes a fork of a machine and adds it. */
  fork(call: Call, source: ToolMachine, name: string | undefined, isRecorded: boolean): Promise<ToolMachine> {
    const { system, kind, memoryBytes, name: parent } = source.facts
    const hostBytes = isRecorded ? memoryBytes * RECORDED_TIMES : Math.min(FORK_BYTES, memoryBytes)
    return this.#add(name, { system, kind, memoryBytes, hostBytes, parent }, (facts) =>
      source.fork(call, async (made) => {
        const fork = isRecorded
          ? await this.#recorded(facts, source.disks, (write) => made.record(write))
          : this.#plain(facts, await made.fork(call.leftMs), source.disks)
        source.disks?.retain()
        return fork
      }),
    )
  }

  #plain(facts: MachineFacts, made: MadeBoard, disks: SharedDisks | undefined, network?: ToolNetwork): ToolMachine {
    return new ToolMachine(facts, made, this.#partsWith(disks, network))
  }

  async #recorded(
    facts: MachineFacts,
    disks: SharedDisks | undefined,
    record: (write: WriteRecording) => Promise<RecordedBoard>,
    network?: ToolNetwork,
  ): Promise<ToolMachine> {
    const recorded = await recordRun(record)
    return new ToolMachine(facts, recorded.board, { ...this.#partsWith(disks, network), recorded })
  }

  #partsWith(disks: SharedDisks | undefined, network: ToolNetwork | undefined): MachineParts {
    return { disks, network, admit: () => this.#admit() }
  }

  /** @throws ToolError `ERR_LIMIT` where as many run already as may */
  #admit(): void {
    const { running } = this.#limits
    const names = this.all.filter(({ isRunning }) => isRunning).map(({ facts }) => facts.name)
    if (names.length < running) return
    throw new ToolError(
      'ERR_LIMIT',
      `${running === 0 ? 'the server was started with --running 0: no machine runs' : `${names.join(', ')} run`} in the background, which is the limit${running === 0 ? '' : ': pause one'}`,
    )
  }

  async #add(
    given: string | undefined,
    facts: Omit<MachineFacts, 'name'>,
    make: (facts: MachineFacts) => Promise<ToolMachine>,
  ): Promise<ToolMachine> {
    const { machines, memoryBytes } = this.#limits
    const { hostBytes } = facts
    if (this.#names.size >= machines)
      throw new ToolError('ERR_LIMIT', `there are ${machines} machines already, which is the limit: stop one`)
    if (this.#hostBytes + hostBytes > memoryBytes) {
      const [needed, free] = [mebibytes(hostBytes), mebibytes(memoryBytes - this.#hostBytes)]
      throw new ToolError(
        'ERR_LIMIT',
        `it needs ${needed} of the host's memory, and ${free} are left: stop a machine, or give it less memory`,
      )
    }
    if (given !== undefined && this.#names.has(given))
      throw new ToolError('ERR_MACHINE', `there is a machine ${given} already: stop it, or give another name`)
    const name = given ?? this.#freeName()
    this.#names.add(name)
    this.#hostBytes += hostBytes
    try {
      const machine = await make({ ...facts, name })
      this.#machines.set(name, machine)
      return machine
    } catch (error) {
      this.#names.delete(name)
      this.#hostBytes -= hostBytes
      throw error
    }
  }

  #freeName(): string {
    do this.#lastNumber++
    while (this.#names.has(`m${this.#lastNumber}`))
    return `m${this.#lastNumber}`
  }

  /** Ends a machine. @throws ToolError `ERR_MACHINE` */
  async stop(name: string): Promise<void> {
    const machine = this.get(name)
    this.#machines.delete(name)
    try {
      await machine.close()
    } finally {
      this.#names.delete(name)
      this.#hostBytes -= machine.facts.hostBytes
    }
  }

  /** Ends all machines. */
  async close(): Promise<void> {
    await Promise.all(this.all.map(({ facts }) => this.stop(facts.name)))
  }
}

/** Writes an amount of memory. */
export const mebibytes = (bytes: number): string => `${Math.floor(bytes / 2 ** 20)} MiB`
