import * as gdb from '../src/index.ts'

export const RAM_BYTES = 0x1_0000

/** A machine whose memory is an array, and which stops when it is told to. */
export class FakeTarget implements gdb.GdbTarget {
  readonly registers = gdb.x86Registers(64)
  readonly cpus: number = 2
  isStopped = true
  lastStop: gdb.TargetStop = { cpu: 0, signal: 5 }
  readonly memory = new Uint8Array(RAM_BYTES)
  readonly values = new Map<string, bigint>()
  readonly events: string[] = []
  listener: ((stop: gdb.TargetStop) => void) | null = null
  locked = false

  describeCpu(cpu: number): string {
    return `CPU ${cpu}, "<idle>"`
  }
  stop(): void {
    this.events.push('stop')
    if (!this.isStopped) this.halt({ cpu: 0, signal: 2 })
  }
  halt(stop: gdb.TargetStop): void {
    this.isStopped = true
    this.lastStop = stop
    this.listener?.(stop)
  }
  resume(actions: readonly gdb.CpuAction[], { holdInterrupts }: gdb.StepRules): void {
    this.isStopped = false
    const words = actions.map(({ action, signal }) => `${action}${signal === 0 ? '' : `+${signal}`}`)
    this.events.push(`resume ${words.join(' ')}${holdInterrupts ? '' : ' (interrupts)'}`)
  }
  onStop(listener: ((stop: gdb.TargetStop) => void) | null): void {
    this.listener = listener
  }
  readRegister(cpu: number, name: string): bigint | undefined {
    return name === 'ftag' ? undefined : (this.values.get(`${cpu}${name}`) ?? 0n)
  }
  writeRegister(cpu: number, name: string, value: bigint): boolean {
    if (this.locked) return false
    this.values.set(`${cpu}${name}`, value)
    return true
  }
  readMemory(_cpu: number, address: bigint, into: Uint8Array): number {
    if (address >= BigInt(RAM_BYTES)) return 0
    const bytes = this.memory.subarray(Number(address), Number(address) + into.length)
    into.set(bytes)
    return bytes.length
  }
  writeMemory(_cpu: number, address: bigint, bytes: Uint8Array): number {
    const count = Math.max(0, Math.min(bytes.length, RAM_BYTES - Number(address)))
    if (count > 0) this.memory.set(bytes.subarray(0, count), Number(address))
    return count
  }
  readPhysical(address: bigint, into: Uint8Array): number {
    into.fill(0x99)
    return address < 0x1000n ? into.length : 0
  }
  writePhysical(): number {
    return 0
  }
  addBreakpoint(address: bigint): boolean {
    this.events.push(`break ${address.toString(16)}`)
    return address !== 0xffffn
  }
  removeBreakpoint(address: bigint): void {
    this.events.push(`delete ${address.toString(16)}`)
  }
  addWatchpoint(address: bigint, length: number, kind: string): boolean {
    this.events.push(`${kind} ${address.toString(16)}/${length}`)
    return length < 0x1000
  }
  removeWatchpoint(address: bigint, length: number, kind: string): void {
    this.events.push(`no ${kind} ${address.toString(16)}/${length}`)
  }
  monitor(cpu: number, command: string): Promise<string> {
    if (command === 'throw') return Promise.reject(new Error('no'))
    return Promise.resolve(command === 'quiet' ? '' : `${cpu}: ${command}\n`)
  }
  kill(): void {
    this.events.push('kill')
  }
  detach(resumes: boolean): void {
    this.events.push(resumes ? 'detach' : 'drop')
  }
}

/** A session whose packets are strings. */
export function connect(target: FakeTarget = new FakeTarget()) {
  let out = ''
  let ended = false
  const session = new gdb.GdbSession(target, {
    write: (bytes) => (out += String.fromCharCode(...bytes)),
    end: () => (ended = true),
  })
  const taken = (): string => {
    const text = out
    out = ''
    return text
  }
  /** Sends bytes, and returns what came back, as it is. */
  const raw = async (bytes: Uint8Array | string): Promise<string> => {
    session.receive(typeof bytes === 'string' ? Uint8Array.from(bytes, (c) => c.charCodeAt(0)) : bytes)
    await new Promise((resolve) => setImmediate(resolve))
    return taken()
  }
  /** Sends a packet, and returns the replies' texts. */
  const ask = async (packet: string): Promise<string> => {
    const answer = await raw(gdb.framePacket(packet))
    return [...answer.matchAll(/\$([^#]*)#../g)].map(([, text]) => text).join('|')
  }
  return { target, session, raw, ask, taken, isOver: () => ended }
}
