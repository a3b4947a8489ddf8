import type { RunMark, RunSample } from '@retrap/machine'

export type { RunMark, RunSample }

/** A place at which a machine stops, on any vCPU. */
export type StopPlace =
  /** Before the instruction at a linear address. */
  | { readonly kind: 'breakpoint'; readonly address: bigint }
  /** An instruction accesses bytes at a linear address, up to 1 MiB; devices' own accesses do not count. */
  | {
      readonly kind: 'watch'
      readonly address: bigint
      readonly length: number
      readonly access: 'read' | 'write' | 'access'
    }
  /** Where an instruction reaches I/O ports, device memory by guest-physical address, or MSRs. */
  | {
      readonly kind: 'port' | 'mmio' | 'msr'
      readonly address: number
      /** Number of ports, bytes or MSRs. */
      readonly count: number
      readonly access: 'read' | 'write' | 'access'
    }
  /** Before the first instruction of an exception's handler; INT3, INTO and INT n do not count. */
  | { readonly kind: 'handler'; readonly vector: number }

/** Where the debugger is in a recorded run. Instructions are counted from power-on, of all vCPUs together. */
export interface RunPosition {
  /** Instructions that have retired where the debugger is: the registers, memory and devices that are shown are of that place. */
  readonly instruction: number
  /** The instructions that the machine itself has retired. */
  readonly now: number
  /** The first instruction that can be gone to. */
  readonly begin: number
  /** The guest's time at this place since power-on, in milliseconds. */
  readonly guestMs: number
  /** The debugger is where the machine is. */
  readonly isLive: boolean
}

/** The reason why a move through a run has ended. */
export type TravelStop =
  /** The instruction at a breakpoint is next. */
  | { readonly reason: 'breakpoint'; readonly cpu: number; readonly address: bigint }
  /** Watched bytes are accessed: by the instruction before this place, or, backwards, by the one that is next. */
  | { readonly reason: 'watch'; readonly cpu: number; readonly address: bigint }
  /**
   * A port, device memory or an MSR is reached: by the instruction before this place, or, backwards, by the one that is next.
   * `value`: absent for several elements of a string instruction.
   */
  | {
      readonly reason: 'port' | 'mmio' | 'msr'
      readonly cpu: number
      readonly address: number
      /** Size in bytes. */
      readonly size: number
      /** Whether the guest has written; else it has read. */
      readonly write: boolean
      readonly value?: bigint
    }
  /** The handler of an exception is next, or, backwards, the instruction that causes it. */
  | { readonly reason: 'handler'; readonly cpu: number; readonly vector: number; readonly errorCode: number }
  /** The debugger has arrived: the step or move is complete. */
  | { readonly reason: 'step' }
  /** No stop was found before this place. */
  | { readonly reason: 'begin' }
  /** The debugger is where the machine is. */
  | { readonly reason: 'now' }
  /** The caller has ended it, the guest has, or the run could not be repeated; `message` has the reason for people. */
  | { readonly reason: 'ended'; readonly message: string }

/** Commands that step over a call or out of a function, forwards and backwards. */
export type CallStep = 'stepOver' | 'reverseStepOver' | 'stepOut' | 'reverseStepOut'

/** A way through a run: to an instruction, or by a command. */
export type Travel =
  | { readonly to: number | 'now' }
  | { readonly by: 'step' | 'stepBack' | 'continue' | 'reverseContinue' }
  /** Moves to the next stop, at most to an instruction of the past. */
  | { readonly by: 'continue'; readonly to: number }
  | { readonly by: CallStep; readonly cpu: number }
  /** Moves to the next request to a device, or back to the previous one. */
  | { readonly by: 'request'; readonly kind: DeviceRequest; readonly direction: 'forwards' | 'back' }

/** Requests to devices: by a port, by device memory, or by either. */
export type DeviceRequest = 'port' | 'mmio' | 'device'

/** A range of memory whose last writer is sought. */
export interface MemoryPlace {
  /** Address of the first byte. */
  readonly address: bigint
  /** Length in bytes, 1 to 4096; default 1. */
  readonly length?: number
  /** The address is guest-physical; default it is linear, as the vCPU sees it. */
  readonly physical?: boolean
  /** The vCPU that sees a linear address; default 0. */
  readonly cpu?: number
}

/** A register whose last writer is sought. */
export interface RegisterPlace {
  /** By gdb's name: `rax` to `r15`. */
  readonly register: string
  /** Default 0. */
  readonly cpu?: number
}

/** A text that is asked about, which the guest has printed by its serial port. */
export interface PrintedPlace {
  /** The printed text, within one line. */
  readonly printed: string
  /** The complete line of the text; default the last line that contains it. */
  readonly line?: string
  /** Number of equal lines printed after that line; default 0. */
  readonly later?: number
}

/** A change of a machine: of memory, at a linear or guest-physical address, or of a register. */
export type MachineChange =
  | (Omit<MemoryPlace, 'length'> & { readonly bytes: Uint8Array<ArrayBuffer> })
  /** A register by gdb's name, such as `rax`, `rip`, `eflags`, or on Arm `x0`, `pc`. */
  | { readonly register: string; readonly value: bigint; readonly cpu?: number }

/** A register of a vCPU. */
export interface RegisterView {
  /** The list that it is in; masks, floating point and tiles are among the vectors. */
  readonly list: 'general' | 'system' | 'vector'
  /** Name as gdb's; a vector register has the name of the whole, such as `zmm3`. */
  readonly name: string
  /** Size. */
  readonly bits: number
  /** The value. */
  readonly value: bigint
}

/** A task of Linux. */
export interface TaskView {
  /** Process number of the task. */
  readonly pid: number
  /** Name of up to 15 bytes; a kernel thread's is in brackets. */
  readonly name: string
}

/** Code that is executed, or the place that a function returns to. */
export interface CallView {
  /** Linear address. */
  readonly address: bigint
  /** `name` or `name+0x12`; null: unknown. */
  readonly name: string | null
  /** File and line, if a file of `loadSymbols` has them. */
  readonly source: string | null
}

/** The last writer of some memory, a register or a text. */
export type WriterView =
  /** The instruction at the linear `address`, which executes after `instruction` retired ones. */
  | {
      readonly by: 'instruction'
      readonly instruction: number
      readonly cpu: number
      readonly address: bigint
      /** The task that the vCPU executed; null: no Linux, or unknown. */
      readonly task: TaskView | null
      /** The function and its callers, the innermost first. */
      readonly calls: readonly CallView[]
    }
  /** A device, by DMA, while the vCPUs had retired `instruction`. */
  | { readonly by: 'device'; readonly instruction: number; readonly device: string }
  /** A change by the machine's toolstack, between two instructions. */
  | { readonly by: 'machine'; readonly instruction: number }
  /** The byte was not written since power-on, and has the loader's value. */
  | { readonly by: 'nobody' }
  /** The search has ended before; `message` says why. */
  | { readonly by: 'unknown'; readonly message: string }

/** A recorded run as its program has noted it. */
export interface RunNotes {
  /** The program or test, and why it has failed, for people; absent: no failure was reported. */
  readonly failure?: string
  /** The host's time of the failure, or of the recording's start, in ISO 8601. */
  readonly at?: string
  /** The command line of `retrap`, without that word; absent: another program has recorded the run. */
  readonly arguments?: readonly string[]
}

/** The contents of a time line. */
export interface RunHistory {
  /** Samples from the beginning of the recording to now. */
  readonly samples: readonly RunSample[]
  /** Lines that the guest has printed, and the user's marks, in their order. */
  readonly marks: readonly RunMark[]
  /** Bytes that the recording takes in memory. */
  readonly bytes: number
  /** Of a recording that was opened; null: the machine is recorded here. */
  readonly notes: RunNotes | null
}

/** Requests of the page about the past of its machine. */
export interface DebuggerCalls {
  record(): void
  branch(): void
  change(change: MachineChange): boolean
  recording(): Blob
  position(): RunPosition
  travel(way: Travel): TravelStop
  interrupt(): void
  addStop(place: StopPlace): number
  removeStop(id: number): void
  readMemory(place: MemoryPlace): Uint8Array<ArrayBuffer>
  whoWrote(place: MemoryPlace | RegisterPlace | PrintedPlace): WriterView
  registers(cpu: number): RegisterView[]
  calls(cpu: number): CallView[]
  task(cpu: number): TaskView | null
  findMemory(bytes: Uint8Array<ArrayBuffer>): number[]
  history(): RunHistory
  mark(name: string): void
  stateHash(): string
  names(addresses: readonly bigint[]): (string | null)[]
  addressOf(name: string): bigint | null
  namesLike(start: string): string[]
  loadSymbols(file: Blob): number
  lookAt(line: string, cpu: number): string
}

/** A call that the machine's debugger answers. */
export type DebuggerCall = Exclude<keyof DebuggerCalls, 'branch' | 'change' | 'record'>

/**
 * The debugger of a machine whose run is recorded: it goes through the recording, in both directions. While it is in the past, the
 * machine itself stands still; `inspect` shows the past.
 *
 * All methods but `record`, `readMemory` and `change` throw a `WebError` `ERR_MACHINE` for a machine that is not recorded.
 */
export interface PageDebugger {
  /** Begins to record, at this instant. A recorded machine's time is deterministic, and keeps pace with the host. */
  readonly record: () => Promise<void>
  /** The recording so far, as a file that `retrap replay` opens as well. The file contains the guest's memory and disk data. */
  readonly save: () => Promise<Blob>
  /**
   * Continues the machine from the debugger's instant with a new recording: it runs, unless it was paused. The old recording is
   * discarded.
   */
  readonly branch: () => Promise<void>
  /**
   * Changes memory or a register where the debugger is. A recorded machine branches at this instant, and is paused: a
   * recording does not know of changes. Another machine, an Arm board too, stands still then, as after `pause()`.
   *
   * @returns whether the machine was branched for the change
   * @throws WebError `ERR_OPTION` for an address without memory or an unknown register, with nothing changed; as `branch`
   */
  readonly change: (change: MachineChange) => Promise<boolean>
  /** Returns the debugger's position. */
  readonly position: () => Promise<RunPosition>
  /** Goes to before an instruction. */
  readonly goto: (instruction: number) => Promise<TravelStop>
  /** Moves to the machine's present. */
  readonly now: () => Promise<TravelStop>
  /** Steps forward by one instruction. */
  readonly step: () => Promise<TravelStop>
  /** Steps back by one instruction. */
  readonly stepBack: () => Promise<TravelStop>
  /**
   * Steps over a call, INT n or SYSCALL to its return in the same frame, past interrupt handlers; otherwise by one instruction. A
   * stop on the way ends the step.
   *
   * @param cpu - number of the vCPU; default 0
   */
  readonly stepOver: (cpu?: number) => Promise<TravelStop>
  /** Steps back to the place from which `stepOver` would lead here. */
  readonly reverseStepOver: (cpu?: number) => Promise<TravelStop>
  /** Goes on to where the function returns to, or the handler of an interrupt. @throws WebError `ERR_OPTION` where the stack has no caller */
  readonly stepOut: (cpu?: number) => Promise<TravelStop>
  /** Goes back to before the call of the function, or to where its handler interrupts. @throws as `stepOut` */
  readonly reverseStepOut: (cpu?: number) => Promise<TravelStop>
  /** Goes on to the next request to a device. @param kind - default `device`: by ports and by device memory */
  readonly nextRequest: (kind?: DeviceRequest) => Promise<TravelStop>
  /** Goes back to the last request to a device. */
  readonly lastRequest: (kind?: DeviceRequest) => Promise<TravelStop>
  /** Goes on to the next stop; in the past no further than to where the machine is. */
  readonly continue: () => Promise<TravelStop>
  /** Goes on in the past to the next stop, no further than to before an instruction: a run is played by such pieces. */
  readonly continueTo: (instruction: number) => Promise<TravelStop>
  /** Goes back to the last stop before this place. */
  readonly reverseContinue: () => Promise<TravelStop>
  /** Ends the move in progress. */
  readonly interrupt: () => Promise<void>
  /** Adds a place to stop at, for the machine as it runs too. @returns a function that removes it */
  readonly stopAt: (place: StopPlace) => Promise<() => Promise<void>>
  /** Reads memory at the debugger's instant. @returns fewer bytes if memory ends earlier */
  readonly readMemory: (place: MemoryPlace) => Promise<Uint8Array>
  /**
   * Finds who wrote some memory, a register or a text last before the debugger's place. `goto(writer.instruction)` leads to before that.
   * A register is searched for in the last 37,000 instructions, a text in the output of the PC's serial ports.
   */
  readonly whoWrote: (place: MemoryPlace | RegisterPlace | PrintedPlace) => Promise<WriterView>
  /** All registers of a vCPU that its model has, also opmasks and whole vectors, R16 to R31, tiles. */
  readonly registers: (cpu?: number) => Promise<readonly RegisterView[]>
  /** The code that a vCPU executes, and its callers, without frame pointers too, as far as the privilege level stays. */
  readonly calls: (cpu?: number) => Promise<readonly CallView[]>
  /** Returns the Linux task that a vCPU executes; null if unknown. */
  readonly task: (cpu?: number) => Promise<TaskView | null>
  /** Searches the guest's memory. @returns guest-physical addresses, at most 100 @throws WebError `ERR_OPTION` for other than 1 to 4096 bytes */
  readonly findMemory: (bytes: Uint8Array<ArrayBuffer>) => Promise<readonly number[]>
  /** The contents of a time line. */
  readonly history: () => Promise<RunHistory>
  /**
   * Returns a SHA-256, in hexadecimal, of the registers of all vCPUs and of the guest's memory where the debugger is: two runs that are at
   * the same instant have the same.
   */
  readonly stateHash: () => Promise<string>
  /** Names addresses by a Linux kernel's own symbols in memory, and by symbols of `loadSymbols`: `name+0x12`; null: unknown. */
  readonly names: (addresses: readonly bigint[]) => Promise<readonly (string | null)[]>
  /** Returns the address of a symbol; null if unknown. */
  readonly addressOf: (name: string) => Promise<bigint | null>
  /** Returns symbols with this prefix, at most 100. */
  readonly namesLike: (start: string) => Promise<readonly string[]>
  /** Loads the symbols of a `vmlinux`, read by ranges, or a `System.map`. @returns their number @throws WebError `ERR_SOURCE` */
  readonly loadSymbols: (file: Blob) => Promise<number>
  /**
   * Looks at the machine by a command of gdb's `monitor`, where the debugger is: `walk ADDRESS`, `p2m ADDRESS`, `interrupts`, `pending`,
   * `devices`, and of Linux `kaslr`, `ps`, `task`, `dmesg`.
   *
   * @param cpu - number of the vCPU; default 0
   * @returns lines
   * @throws WebError `ERR_OPTION` for an unknown command
   */
  readonly lookAt: (line: string, cpu?: number) => Promise<string>
  /** Names this instant. */
  readonly mark: (name: string) => Promise<void>
}

/** Asks the Worker. */
type Call = <K extends keyof DebuggerCalls>(
  call: K,
  ...given: Parameters<DebuggerCalls[K]>
) => Promise<ReturnType<DebuggerCalls[K]>>

/** The debugger by way of the machine's Worker. */
export const debuggerBy = (call: Call): PageDebugger => ({
  record: () => call('record'),
  save: () => call('recording'),
  branch: () => call('branch'),
  change: (change) => call('change', change),
  position: () => call('position'),
  goto: (to) => call('travel', { to }),
  now: () => call('travel', { to: 'now' }),
  step: () => call('travel', { by: 'step' }),
  stepBack: () => call('travel', { by: 'stepBack' }),
  stepOver: (cpu = 0) => call('travel', { by: 'stepOver', cpu }),
  reverseStepOver: (cpu = 0) => call('travel', { by: 'reverseStepOver', cpu }),
  stepOut: (cpu = 0) => call('travel', { by: 'stepOut', cpu }),
  reverseStepOut: (cpu = 0) => call('travel', { by: 'reverseStepOut', cpu }),
  nextRequest: (kind = 'device') => call('travel', { by: 'request', kind, direction: 'forwards' }),
  lastRequest: (kind = 'device') => call('travel', { by: 'request', kind, direction: 'back' }),
  continue: () => call('travel', { by: 'continue' }),
  continueTo: (to) => call('travel', { by: 'continue', to }),
  reverseContinue: () => call('travel', { by: 'reverseContinue' }),
  interrupt: () => call('interrupt'),
  stopAt: async (place) => {
    const id = await call('addStop', place)
    return () => call('removeStop', id)
  },
  readMemory: (place) => call('readMemory', place),
  whoWrote: (place) => call('whoWrote', place),
  registers: (cpu = 0) => call('registers', cpu),
  calls: (cpu = 0) => call('calls', cpu),
  task: (cpu = 0) => call('task', cpu),
  findMemory: (bytes) => call('findMemory', bytes),
  history: () => call('history'),
  mark: (name) => call('mark', name),
  stateHash: () => call('stateHash'),
  names: (addresses) => call('names', addresses),
  addressOf: (name) => call('addressOf', name),
  namesLike: (start) => call('namesLike', start),
  loadSymbols: (file) => call('loadSymbols', file),
  lookAt: (line, cpu = 0) => call('lookAt', line, cpu),
})
