import { expect } from 'vitest'
import type { DebuggerCall, DebuggerCalls } from '../../src/debugger.ts'
import type { FromWorker, SentOptions } from '../../src/protocol.ts'
import { snapshotFile } from '../../src/worker/snapshots.ts'
import { WorkerMachine } from '../../src/worker/worker-machine.ts'

/** A machine, and what it tells its page. */
export class Told {
  readonly events: Extract<FromWorker, { event: string }>[] = []
  machine!: WorkerMachine

  static async open(guest: Uint8Array | null, options: Partial<SentOptions> = {}): Promise<Told> {
    const told = new Told()
    const own = options.board === 'virt' ? 'kernel' : 'firmware'
    const image = guest && { [own]: { bytes: guest as Uint8Array<ArrayBuffer> } }
    const images = { ...image, ...options.images }
    const given: SentOptions = { drives: null, shared: false, memoryBytes: 16 << 20, ...options, images }
    told.machine = await WorkerMachine.open(given, (message) => {
      if ('event' in message) told.events.push(message)
    })
    return told
  }

  call<K extends DebuggerCall>(call: K, ...given: Parameters<DebuggerCalls[K]>): Promise<ReturnType<DebuggerCalls[K]>> {
    return this.machine.debug(call, given) as Promise<ReturnType<DebuggerCalls[K]>>
  }

  get serial(): number[] {
    return this.events.flatMap((event) => (event.event === 'serial' ? [...event.bytes] : []))
  }

  get state(): string | undefined {
    return this.events.findLast((event) => event.event === 'state')?.state
  }

  /** A file of the machine as it is now. */
  async snapshot(): Promise<Uint8Array<ArrayBuffer>> {
    return (await snapshotFile(await this.machine.save(null), null)).bytes() as Promise<Uint8Array<ArrayBuffer>>
  }

  /** The bytes that the terminal was given in place of its own. */
  get shown(): number[] {
    return [...(this.events.findLast((event) => event.event === 'console')?.bytes ?? [])]
  }

  async registers(): Promise<unknown> {
    const view = await this.machine.inspect()
    return view.vcpus.map(({ address, registers }) => ({ address, registers }))
  }

  /** Types, and returns the bytes that come then. */
  async says(text: string, bytes: number): Promise<number[]> {
    const before = this.serial.length
    this.type(text)
    await expect.poll(() => this.serial.length).toBe(before + bytes)
    return this.serial.slice(before)
  }

  /** As `says`, of a machine that stands still before and after. */
  async answers(text: string, bytes: number): Promise<number[]> {
    await this.machine.run()
    const said = await this.says(text, bytes)
    await this.machine.pause()
    return said
  }

  type(text: string): void {
    this.machine.told({ tell: 'serial', bytes: new TextEncoder().encode(text) as Uint8Array<ArrayBuffer> })
  }
}
