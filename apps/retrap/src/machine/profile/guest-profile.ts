/** `--profile`: where the guest spends its time, as a `.cpuprofile`. */
import { writeFileSync } from 'node:fs'
import { attempt } from '@retrap/linux-guest/errors'
import type { GuestSample, SampledMemory } from '@retrap/machine'
import type { LinuxMemory } from '@retrap/symbols'
import { elfNames, functionAt, linuxNames, type Names } from './guest-names.ts'
import { type MappedProgram, type Process, Processes, programAt } from './processes.ts'
import type { SymbolFile } from './symbol-file.ts'

/** The format of V8's CPU profiles, which Chrome's DevTools and speedscope read. */

/** A function in a stack. */
interface CallFrame {
  readonly functionName: string
  readonly scriptId: string
  readonly url: string
  readonly lineNumber: number
  readonly columnNumber: number
}

interface ProfileNode {
  readonly id: number
  readonly callFrame: CallFrame
  hitCount: number
  readonly children: number[]
}

/** The content of a `.cpuprofile` file, as JSON. Source: Chrome DevTools Protocol, domain Profiler, type Profile. */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[]
  /** Microseconds. */
  readonly startTime: number
  readonly endTime: number
  /** Ids of nodes. */
  readonly samples: readonly number[]
  /** Microseconds from the sample before. */
  readonly timeDeltas: readonly number[]
}

/** The name under which DevTools and speedscope show time in which nothing runs. */
export const IDLE = '(idle)'

/** When profiles start, in microseconds. DevTools take a time of 0 for none, and show nothing. */
const START = 1_000_000

/** Builds a profile from stacks and the time spent in each. */
export class CpuProfileBuilder {
  readonly #nodes: ProfileNode[] = [node(1, '(root)', '')]
  /** Identifiers by the parent's id, name and file. */
  readonly #ids = new Map<string, number>()
  readonly #samples: number[] = []
  readonly #deltas: number[] = []
  #ns = 0
  /** The end of the last sample in whole microseconds: rounding does not add up. */
  #last = 0

  /**
   * Finds or adds the node of a function called from another.
   *
   * @param parent - a node; 1 is the root
   * @param file - the function's file; '' if unknown
   */
  child(parent: number, name: string, file: string): number {
    const key = `${parent} ${file} ${name}`
    const known = this.#ids.get(key)
    if (known !== undefined) return known
    const id = this.#nodes.length + 1
    this.#nodes.push(node(id, name, file))
    this.#nodes[parent - 1]!.children.push(id)
    this.#ids.set(key, id)
    return id
  }

  /** Adds time that a node had. @param ns - nanoseconds since the end of the sample before */
  add(id: number, ns: number): void {
    this.#nodes[id - 1]!.hitCount++
    this.#samples.push(id)
    // A reader takes a sample to last until its successor.
    const begin = Math.round(this.#ns / 1000)
    this.#deltas.push(begin - this.#last)
    this.#last = begin
    this.#ns += ns
  }

  build(): CpuProfile {
    return {
      nodes: this.#nodes,
      startTime: START,
      endTime: START + Math.round(this.#ns / 1000),
      samples: this.#samples,
      timeDeltas: this.#deltas,
    }
  }
}

function node(id: number, functionName: string, url: string): ProfileNode {
  const callFrame = { functionName, scriptId: '0', url, lineNumber: -1, columnNumber: -1 }
  return { id, callFrame, hitCount: 0, children: [] }
}

/** Samples that are kept: half an hour of a vCPU that never halts. */
const MOST_SAMPLES = 2_000_000
/** Stands in place of a stack's number: no vCPU executes. */
const NO_STACK = -1

/** A sampled stack, with the facts needed for naming it later. */
interface Stack {
  readonly sample: GuestSample
  readonly number: number
  /** The process that executed the code. */
  readonly process: Process | undefined
}

/** Collects a guest's samples, names them, and writes the profile. */
export class GuestProfile {
  readonly #path: string
  readonly #severalCpus: boolean
  readonly #files: readonly SymbolFile[]
  /** Holds the samples that have names. */
  readonly builder: CpuProfileBuilder = new CpuProfileBuilder()
  #processes: Processes
  /** Stacks without names yet, by a key of their contents. */
  readonly #stacks = new Map<string, Stack>()
  /** The samples: the number of a stack, or {@link NO_STACK}. */
  #samples: number[] = []
  #times: number[] = []
  #taken = 0

  /**
   * @param files - with names for code of processes
   * @throws CliError `ERR_INPUT` where the file cannot be written
   */
  constructor(path: string, cpus: number, files: readonly SymbolFile[] = []) {
    this.#path = path
    this.#severalCpus = cpus > 1
    this.#files = files
    this.#processes = new Processes(files)
    this.#write('')
  }

  readonly onSample = (sample: GuestSample, memory: SampledMemory): void => {
    if (this.isFull) return
    const { vcpu, isUser, pageTables, address, callers } = sample
    const process = isUser ? this.#processes.of(sample, memory) : undefined
    const key = [vcpu, isUser, process?.id ?? pageTables, address, ...callers].join()
    let stack = this.#stacks.get(key)
    if (stack === undefined) {
      stack = { sample, number: this.#stacks.size, process }
      this.#stacks.set(key, stack)
    }
    if (process !== undefined) for (const { within } of framesOf(sample)) this.#processes.find(process, within, memory)
    this.#add(stack.number, sample.ns)
  }

  /** Takes time in which no vCPU executed. */
  readonly onIdle = (ns: number): void => this.#add(NO_STACK, ns)

  /** Takes no more samples. */
  get isFull(): boolean {
    return this.#taken >= MOST_SAMPLES
  }

  #add(stack: number, ns: number): void {
    if (this.isFull) return
    this.#taken++
    this.#samples.push(stack)
    this.#times.push(ns)
  }

  /**
   * Names the code sampled since the last call. Called while the machine still exists: Linux's symbols are read from its
   * memory.
   *
   * @param kernel - the image that the machine was started with, if any; symbols of an ELF file come first
   */
  resolve(machine: LinuxMemory, kernel: Uint8Array | undefined): void {
    const builder = this.builder
    const names = [...elfNames(kernel), ...linuxNames(machine)]
    const nodes = Array.from(this.#stacks.values(), (stack) => this.#nodeOf(stack, names))
    for (const [i, stack] of this.#samples.entries())
      builder.add(stack === NO_STACK ? builder.child(1, IDLE, '') : nodes[stack]!, this.#times[i]!)
    this.#stacks.clear()
    this.#processes = new Processes(this.#files)
    this.#samples = []
    this.#times = []
  }

  #nodeOf({ sample, process }: Stack, names: readonly Names[]): number {
    const builder = this.builder
    const { vcpu } = sample
    let id = 1
    if (this.#severalCpus) id = builder.child(id, `vCPU ${vcpu}`, '')
    id = builder.child(id, groupOf(sample, process), '')
    for (const { address, within } of framesOf(sample).toReversed()) {
      const program = process && programAt(process, within)
      const [name, file] =
        program === undefined
          ? (functionAt(names, within) ?? [hex(address), ''])
          : userName(address, within, program, process?.name)
      id = builder.child(id, name, file)
    }
    return id
  }

  /** @throws CliError `ERR_INPUT` where the file cannot be written */
  write(): void {
    this.#write(JSON.stringify(this.builder.build()))
  }

  #write(text: string): void {
    attempt(`cannot write the profile ${this.#path}`, () => writeFileSync(this.#path, text), 'write')
  }
}

/** Returns a sample's code and its callers, with an address within each: a return address lies after its call. */
const framesOf = ({ address, callers }: GuestSample): { readonly address: bigint; readonly within: bigint }[] => [
  { address, within: address },
  ...callers.map((caller) => ({ address: caller, within: caller - 1n })),
]

const hex = (value: bigint): string => `0x${value.toString(16)}`

/** Names a place in a user program, with its origin: `main (in python3)`; without symbols the offset in the program, or of the function if known. */
function userName(
  address: bigint,
  within: bigint,
  { start, bias, names, name: own, isProgram }: MappedProgram,
  processName: string | undefined,
): readonly [name: string, file: string] {
  const { table, starts } = names
  const file = own ?? (isProgram ? processName : undefined)
  const index = table.indexOf(table.placeOf(within - bias))
  if (index >= 0) return [file === undefined ? table.name(index) : `${table.name(index)} (in ${file})`, file ?? '']
  const begin = starts.startOf(within - bias)
  const place = begin === undefined ? address : begin + bias
  return file === undefined ? [hex(place), ''] : [`${file}+${hex(place - start)}`, file]
}

/** Processes are told apart by their page tables. */
function groupOf({ isUser, pageTables }: GuestSample, process: Process | undefined): string {
  if (!isUser) return 'kernel'
  const name = process?.name ?? 'user'
  return pageTables === undefined ? name : `${name}, page tables ${hex(pageTables)}`
}
