/** `--profile`: where the guest spends its time, as a `.cpuprofile`. */
import { writeFileSync } from 'node:fs'
import type { GuestSample } from '@retrap/machine'
import { CliError } from '../cli-error.ts'
import { troubleWith } from '../files.ts'
import { CpuProfileBuilder, IDLE, type CpuProfile } from './cpu-profile.ts'
import { elfNames, linuxNames, type Names, type NamedMachine } from './guest-names.ts'

/** Samples that are kept: half an hour of a vCPU that never halts. */
const MOST_SAMPLES = 2_000_000
/** In place of a stack's number: no vCPU executes. */
const NO_STACK = -1
/** CR3 bits that are no address: PCID and cache controls. */
const CR3_FLAGS = 0xfffn

/** Collects a guest's samples, gives them names, and writes them. */
export class GuestProfile {
  readonly #path: string
  readonly #severalCpus: boolean
  readonly #builder = new CpuProfileBuilder()
  /** Stacks that have no names yet, by all that tells them apart. */
  readonly #stacks = new Map<string, { readonly sample: GuestSample; readonly number: number }>()
  /** What was sampled: the number of a stack, or {@link NO_STACK}. */
  #samples: number[] = []
  #times: number[] = []
  #taken = 0

  /** @throws CliError `ERR_INPUT` where the file cannot be written */
  constructor(path: string, cpus: number) {
    this.#path = path
    this.#severalCpus = cpus > 1
    this.#write('')
  }

  /** Takes a sample. */
  readonly onSample = (sample: GuestSample): void => {
    const { vcpu, cpl, cr3, address, callers } = sample
    const key = [vcpu, cpl, cr3, address, ...callers].join()
    let stack = this.#stacks.get(key)
    if (stack === undefined && !this.isFull) {
      stack = { sample, number: this.#stacks.size }
      this.#stacks.set(key, stack)
    }
    if (stack !== undefined) this.#add(stack.number, sample.ns)
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
   * Gives names to what was sampled since the last call. Called while the machine is still there: Linux's symbols are read
   * from its memory.
   *
   * @param kernel - the image that the machine was started with, if any; symbols of an ELF file come first
   */
  resolve(machine: NamedMachine, kernel: Uint8Array | undefined): void {
    const builder = this.#builder
    const names = [...elfNames(kernel), ...linuxNames(machine)]
    const nodes = Array.from(this.#stacks.values(), ({ sample }) => this.#nodeOf(sample, names))
    for (const [i, stack] of this.#samples.entries())
      builder.add(stack === NO_STACK ? builder.child(1, IDLE, '') : nodes[stack]!, this.#times[i]!)
    this.#stacks.clear()
    this.#samples = []
    this.#times = []
  }

  #nodeOf({ vcpu, cpl, cr3, address, callers }: GuestSample, names: readonly Names[]): number {
    const builder = this.#builder
    let id = 1
    if (this.#severalCpus) id = builder.child(id, `vCPU ${vcpu}`, '')
    id = builder.child(id, modeOf(cpl, cr3), '')
    // A return address is behind its CALL, which may be a function's last instruction.
    for (const caller of callers.toReversed()) id = nodeOfAddress(builder, id, caller, caller - 1n, names)
    return nodeOfAddress(builder, id, address, address, names)
  }

  /** Returns what was given names to. */
  build(): CpuProfile {
    return this.#builder.build()
  }

  /** @throws CliError `ERR_INPUT` where the file cannot be written */
  write(): void {
    this.#write(JSON.stringify(this.build()))
  }

  #write(text: string): void {
    try {
      writeFileSync(this.#path, text)
    } catch (error) {
      throw new CliError('ERR_INPUT', `cannot write the profile ${this.#path}: ${troubleWith(error, 'write')}`)
    }
  }
}

function nodeOfAddress(
  builder: CpuProfileBuilder,
  parent: number,
  address: bigint,
  within: bigint,
  names: readonly Names[],
): number {
  for (const { file, table } of names) {
    const index = table.indexOf(table.placeOf(within))
    if (index >= 0) return builder.child(parent, table.name(index), file)
  }
  return builder.child(parent, `0x${address.toString(16)}`, '')
}

/** Rings 0 to 2 are the kernel's, or a hypervisor's; processes are told apart by their page tables. */
function modeOf(cpl: number, cr3: bigint | undefined): string {
  if (cpl < 3) return 'kernel'
  return cr3 === undefined ? 'user' : `user, CR3 0x${(cr3 & ~CR3_FLAGS).toString(16)}`
}
