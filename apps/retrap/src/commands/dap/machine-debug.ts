import {
  type CpuAction,
  type GdbTarget,
  Signal,
  type TargetCode,
  type TargetStop,
  type WatchpointKind,
} from '@retrap/gdb'
import { linuxCommands, type LinuxMemory, LinuxNames } from '@retrap/symbols'
import type { SessionDebugger, SessionOutput } from '../../machine/session/session-host.ts'
import type { Machine, MachineRunner } from '@retrap/linux-guest/machine/machine-contract'
import { usage } from '../../options/values.ts'

/** An instruction in the answer of `who-wrote`. */
const WRITER = /(?<= (0x[\da-f]+))(?:, (.+),)? of CPU (\d+): monitor (goto \d+)$/m

/** Events for the debugger's user. */
export interface MachineDebugEvents {
  /** Called for each new machine: the first, or after a reset. */
  readonly adopted: () => void
  /** Called with the reason why the replay cannot go to an instant of the recording. */
  readonly trouble: (sentence: string) => void
  /** Returns the address of a symbol; undefined if unknown. */
  readonly find: (name: string) => bigint | undefined
  /** Returns the symbol at an address; undefined if none. */
  readonly nameOf: (address: bigint) => string | undefined
}

/** The machines of a session, one at a time, for a debug adapter: commands resolve when the machine stops. */
export class MachineDebug implements SessionDebugger {
  readonly #events: MachineDebugEvents
  #kill: () => void = () => {}
  #isKilled = false
  #hasEnded = false
  #target: GdbTarget | undefined
  #machine: LinuxMemory | undefined
  #linux: LinuxNames | undefined
  #stopped: PromiseWithResolvers<TargetStop> | undefined
  /** Watchpoints and breakpoints, which a machine after a reset gets too. */
  readonly #breakpoints = new Map<bigint, number>()
  readonly #watchpoints: { readonly address: bigint; readonly length: number; readonly kind: WatchpointKind }[] = []

  constructor(events: MachineDebugEvents) {
    this.#events = events
  }

  async open(_say: SessionOutput, kill: () => void): Promise<void> {
    this.#kill = kill
    this.#hasEnded = false
    if (this.#isKilled) kill()
  }

  async adopt(machine: Machine, runner: MachineRunner): Promise<void> {
    const target = await runner.gdbTarget?.({
      kill: this.#kill,
      onTrouble: this.#events.trouble,
      find: this.#events.find,
      nameOf: this.#events.nameOf,
      commands: linuxCommands(() => machine),
    })
    if (target === undefined) throw usage('this machine has no debugger')
    const isFirst = this.#target === undefined
    this.#target = target
    this.#machine = machine
    // The past of a running machine is another machine: its memory is not at hand.
    this.#linux = runner === machine ? new LinuxNames(() => machine) : undefined
    target.onStop((stop) => this.#told(stop))
    for (const address of this.#breakpoints.keys()) target.addBreakpoint(address)
    for (const { address, length, kind } of this.#watchpoints) target.addWatchpoint(address, length, kind)
    // A machine runs on after a reset.
    if (isFirst && !target.isStopped) target.stop()
    this.#events.adopted()
  }

  restarted(): void {
    this.#events.adopted()
  }

  async close(): Promise<void> {
    this.#hasEnded = true
    this.#stopped?.reject(usage('the machine has ended'))
    this.#stopped = undefined
  }

  /** Ends the session, or prevents a session that has not begun. */
  kill(): void {
    this.#isKilled = true
    this.#kill()
  }

  /** The session is over. */
  get hasEnded(): boolean {
    return this.#hasEnded
  }

  #told(stop: TargetStop): void {
    const stopped = this.#stopped
    this.#stopped = undefined
    stopped?.resolve(stop)
  }

  /** @throws CliError `ERR_USAGE` before a machine was made */
  get target(): GdbTarget {
    if (this.#target === undefined) throw usage('there is no machine yet')
    return this.#target
  }

  /** The machine's memory; undefined before the machine exists. */
  get memory(): LinuxMemory | undefined {
    return this.#machine
  }

  /** A command is under way. */
  get isRunning(): boolean {
    return this.#stopped !== undefined
  }

  /** The instruction that a vCPU executes next, and its callers. */
  code(cpu: number): TargetCode {
    const { target } = this
    const address = target.readRegister(cpu, target.registers.programCounter) ?? 0n
    return target.code?.(cpu) ?? { address, callers: [], set: 'x86-64' }
  }

  /** A vCPU's stack pointer. */
  stackPointer(cpu: number): bigint {
    const { target } = this
    const name = ['rsp', 'esp', 'sp'].find((each) => target.registers.numberOf(each) >= 0)
    return (name === undefined ? undefined : target.readRegister(cpu, name)) ?? 0n
  }

  /** Resumes all vCPUs. @returns their next stop */
  continue(): Promise<TargetStop> {
    return this.#go((target) => target.resume(this.#all('continue'), { holdInterrupts: false }))
  }

  /** Steps a vCPU by one instruction. */
  step(cpu: number): Promise<TargetStop> {
    const actions = this.#all('stay').map((action, i): CpuAction =>
      i === cpu ? { ...action, action: 'step' } : action,
    )
    return this.#go((target) => target.resume(actions, { holdInterrupts: true }))
  }

  /** Goes back, by an instruction of a vCPU or to the last stop. @throws CliError `ERR_USAGE` without a recorded past */
  reverse(action: 'continue' | 'step', cpu: number): Promise<TargetStop> {
    this.requirePast()
    return this.#go((target) => target.reverse?.(action, cpu))
  }

  /** @throws CliError `ERR_USAGE` for a machine without a recorded past */
  requirePast(): void {
    if (!this.hasPast) throw usage('only a recorded machine goes backwards')
  }

  /** Whether the machine can go backwards. */
  get hasPast(): boolean {
    return this.target.reverse !== undefined
  }

  /** Interrupts the current operation, which settles at the machine's present place. */
  pause(): void {
    this.target.stop()
  }

  /** Does a command of gdb's monitor. For `who-wrote`, a recording goes to the write and back: Linux then names the process. */
  async monitor(cpu: number, command: string): Promise<string> {
    const { address } = this.code(cpu)
    const say = (line: string): Promise<string> => this.target.monitor(cpu, line)
    const answer = await say(command)
    const [, at = '', name, writer, place] = WRITER.exec(answer) ?? []
    if (place === undefined || this.#linux === undefined) return answer
    const [, here] = /^instruction (\d+)/.exec(await say('when')) ?? []
    await say(place)
    const whose = this.#linux.whoseCode(BigInt(at), Number(writer), name)
    await say(`goto ${here}`)
    // The machine may have been past the delivery of an interrupt.
    if (this.code(cpu).address !== address) {
      this.addBreakpoint(address)
      await this.continue().finally(() => this.removeBreakpoint(address))
    }
    return whose === undefined ? answer : answer.replace(WRITER, () => `, ${whose}, of CPU ${writer}: monitor ${place}`)
  }

  #all(action: CpuAction['action']): CpuAction[] {
    // A fault that the machine stopped for is delivered.
    return Array.from({ length: this.target.cpus }, () => ({ action, signal: Signal.TRAP }))
  }

  #go(start: (target: GdbTarget) => void): Promise<TargetStop> {
    if (this.#stopped !== undefined) throw usage('the machine runs; pause it first')
    const stopped = Promise.withResolvers<TargetStop>()
    this.#stopped = stopped
    start(this.target)
    return stopped.promise
  }

  /** Waits until the first machine stands still. */
  async still(): Promise<void> {
    if (this.target.isStopped) return
    this.#stopped ??= Promise.withResolvers<TargetStop>()
    await this.#stopped.promise
  }

  /** Adds a breakpoint, as often as it is removed again. */
  addBreakpoint(address: bigint): void {
    this.#breakpoints.set(address, (this.#breakpoints.get(address) ?? 0) + 1)
    this.target.addBreakpoint(address)
  }

  removeBreakpoint(address: bigint): void {
    const left = (this.#breakpoints.get(address) ?? 1) - 1
    if (left > 0) return void this.#breakpoints.set(address, left)
    this.#breakpoints.delete(address)
    this.target.removeBreakpoint(address)
  }

  /** Replaces all watchpoints. @returns for each one whether it was set */
  watch(wanted: MachineDebug['watched']): boolean[] {
    const { target } = this
    for (const { address, length, kind } of this.#watchpoints.splice(0)) target.removeWatchpoint(address, length, kind)
    return wanted.map((each) => {
      const isThere = target.addWatchpoint(each.address, each.length, each.kind)
      if (isThere) this.#watchpoints.push(each)
      return isThere
    })
  }

  /** The watchpoints. */
  get watched(): readonly { readonly address: bigint; readonly length: number; readonly kind: WatchpointKind }[] {
    return this.#watchpoints
  }
}
