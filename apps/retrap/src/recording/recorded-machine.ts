import type { GdbTarget } from '@retrap/gdb'
import type { LiveDebugOptions, MachineExit, Pc, PcGdbOptions, PcRecorder } from '@retrap/machine'
import type { Machine } from '../machine-contract.ts'

/** A machine that is recorded, as a session's: gdb goes back in it. */
export class RecordedMachine implements Machine {
  readonly #recorder: PcRecorder
  readonly #read: LiveDebugOptions['read']
  #target: GdbTarget | undefined
  readonly #ended = Promise.withResolvers<MachineExit>()

  /** @param read - reads back what the recorder has written */
  constructor(recorder: PcRecorder, read: LiveDebugOptions['read']) {
    this.#recorder = recorder
    this.#read = read
  }

  get #pc(): Pc {
    return this.#recorder.pc
  }

  get memory(): Pc['memory'] {
    return this.#pc.memory
  }

  get domain(): Pc['domain'] {
    return this.#pc.domain
  }

  get serialPorts(): Pc['serialPorts'] {
    return this.#pc.serialPorts
  }

  get removableDrives(): Pc['removableDrives'] {
    return this.#pc.removableDrives
  }

  plug(...args: Parameters<Pc['plug']>): Promise<void> {
    return this.#pc.plug(...args)
  }

  unplug(...args: Parameters<Pc['unplug']>): Promise<void> {
    return this.#pc.unplug(...args)
  }

  statistics(): ReturnType<Pc['statistics']> {
    return this.#pc.statistics()
  }

  save(...args: Parameters<Pc['save']>): ReturnType<Pc['save']> {
    return this.#pc.save(...args)
  }

  powerButton(): Promise<boolean> {
    return this.#pc.powerButton()
  }

  close(): void {
    this.#pc.close()
  }

  /** Shows it to gdb, which has it go on from now on. */
  async gdbTarget(options: PcGdbOptions): Promise<GdbTarget> {
    const onExit = (exit: MachineExit): void => this.#ended.resolve(exit)
    this.#target = await this.#recorder.gdbTarget(options, { read: this.#read, onExit })
    return this.#target
  }

  /** Runs it, or waits while gdb does. */
  async run(options: Parameters<Machine['run']>[0]): Promise<MachineExit> {
    if (this.#target === undefined) return this.#pc.run(options)
    const { signal, timeoutMs } = options
    const left = Promise.withResolvers<MachineExit>()
    const stop = (): void => left.resolve({ reason: 'stopped' })
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => left.resolve({ reason: 'timeout' }), timeoutMs)
    signal?.addEventListener('abort', stop)
    if (signal?.aborted === true) stop()
    try {
      return await Promise.race([this.#ended.promise, left.promise])
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', stop)
    }
  }

  /** Settles when it stands still, whatever gdb has it do. */
  async stop(): Promise<void> {
    this.#target?.stop()
    // oxlint-disable-next-line no-await-in-loop -- until what was under way has ended
    while (this.#target?.isStopped === false) await new Promise((resolve) => setTimeout(resolve, 1))
  }
}
