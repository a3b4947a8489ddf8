import type { X86Domain } from '@retrap/hvm'
import { P2mEntry, P2mType } from '@retrap/p2m'
import { ACCESS_READ, PagingContext, PagingMode, probe, type TableReader, WALK_OK, WalkResult } from '@retrap/paging'
import type { PcDebugger } from './debugger.ts'
import { VECTOR_NAMES } from './vectors.ts'

const HELP = `catch [#GP|14|triple]...  stop before an exception is delivered; without a name, list them
uncatch #GP|14|triple...  deliver it
devices                   device models of this process
interrupts                what waits at each local APIC
p2m ADDRESS               what the guest's map has at a guest-physical address
pending                   instructions that wait for a device, with their accesses
reset                     reset the machine
walk ADDRESS              page tables of a linear address
Physical memory: maintenance packet Qqemu.PhyMemMode:1. Interrupts in steps: maintenance packet Qqemu.sstep=0x1.
`

const hex = (value: number | bigint): string => `0x${value.toString(16)}`

/** Reads an address of at most 64 bits. */
function parseAddress(text: string | undefined): bigint | undefined {
  return text !== undefined && /^(0x[\da-f]{1,16}|\d{1,18})$/i.test(text) ? BigInt(text) : undefined
}

/** What a monitor does beyond the processors. */
export interface MonitorHooks {
  /** Resets the machine. */
  reset(): void
}

/** The commands that gdb hands on with `monitor`. They change nothing of the guest, unless they say so. */
export class PcMonitor {
  readonly #domain: X86Domain
  readonly #debug: PcDebugger
  readonly #hooks: MonitorHooks

  constructor(domain: X86Domain, debug: PcDebugger, hooks: MonitorHooks) {
    this.#domain = domain
    this.#debug = debug
    this.#hooks = hooks
  }

  /** Does a command. @returns what to print, in whole lines */
  run(cpu: number, line: string): string {
    const [command = '', ...given] = line.split(/\s+/)
    switch (command) {
      case '':
      case 'help':
        return HELP
      case 'catch':
        return given.length === 0 ? this.#caught() : this.#catch(given, true)
      case 'uncatch':
        return this.#catch(given, false)
      case 'devices':
        return this.#devices()
      case 'interrupts':
        return this.#interrupts()
      case 'p2m':
        return this.#p2m(given)
      case 'pending':
        return this.#pending()
      case 'reset':
        this.#hooks.reset()
        return 'The machine is reset when it goes on.\n'
      case 'walk':
        return this.#walk(cpu, given)
      default:
        return `There is no '${command.slice(0, 40)}'. monitor help lists the commands.\n`
    }
  }

  #caught(): string {
    const names = this.#debug.caughtFaults.map((vector) => VECTOR_NAMES[vector] ?? `${vector}`)
    if (this.#debug.catchesShutdown) names.push('triple')
    return names.length === 0 ? 'Nothing is caught.\n' : `Caught: ${names.join(', ')}\n`
  }

  #catch(given: readonly string[], caught: boolean): string {
    for (const text of given) {
      const named = VECTOR_NAMES.findIndex(
        (name) => name?.slice(1).toLowerCase() === text.replace(/^#/, '').toLowerCase(),
      )
      const vector = named >= 0 ? named : /^\d{1,2}$/.test(text) ? Number(text) : -1
      if (text === 'triple') this.#debug.catchesShutdown = caught
      else if (vector >= 0 && vector < 32) this.#debug.catchFault(vector, caught)
      else return `'${text.slice(0, 40)}' is no exception: write #PF, 14 or triple\n`
    }
    return this.#caught()
  }

  #devices(): string {
    const { devices } = this.#domain
    return `${devices
      .models()
      .map(({ name }) => name)
      .join('\n')}\n`
  }

  #interrupts(): string {
    let text = ''
    for (const { id, cpu, apic } of this.#domain.vcpus) {
      const { interruptsEnabled, interruptWaits, halted } = cpu
      const next = apic.peek()
      text += `CPU ${id}: IF ${interruptsEnabled ? 1 : 0}${halted ? ', halted' : ''}`
      text += `, processor priority ${hex(apic.processorPriority)}`
      text += next >= 0 ? `, vector ${hex(next)} is next` : ', no vector waits'
      text += interruptWaits ? ', can be taken now\n' : '\n'
    }
    return text
  }

  #p2m([text]: readonly string[]): string {
    const address = parseAddress(text)
    if (address === undefined || address >= 1n << 52n) return 'write p2m ADDRESS\n'
    const entry = new P2mEntry()
    const type = this.#domain.p2m.lookup(Number(address >> 12n), entry)
    const name = Object.entries(P2mType).find(([, value]) => value === type)?.[0] ?? `${type}`
    const ma = this.#domain.secondLevel.peek(Number(address))
    return `${hex(address)}: ${name}${ma < 0 ? '' : `, machine address ${hex(ma)}`}\n`
  }

  #pending(): string {
    let text = ''
    for (const { id, cpu } of this.#domain.vcpus) {
      if (!cpu.busy) continue
      text += `CPU ${id} waits for a device at ${hex(cpu.registers.rip)}\n`
      for (const { kind, address, size, state } of cpu.log.dump()) {
        text += `  ${kind} of ${size} at ${address}: ${state}\n`
      }
    }
    return text === '' ? 'No instruction waits.\n' : text
  }

  #walk(cpu: number, [text]: readonly string[]): string {
    const address = parseAddress(text)
    const vcpu = this.#domain.vcpus[cpu]
    if (address === undefined || vcpu === undefined) return 'write walk ADDRESS\n'
    const context = new PagingContext(this.#domain.engine.processor.paging)
    vcpu.cpu.registers.configurePaging(context)
    let level: number = context.mode
    let lines = ''
    const read = (gpa: number, into: Uint32Array, words: number): boolean => {
      const bytes = new Uint8Array(4 * words)
      const there = this.#debug.readPhysical(gpa, bytes) === bytes.length
      const view = new DataView(bytes.buffer)
      for (let i = 0; i < words; i++) into[i] = view.getUint32(4 * i, true)
      const value = words === 2 ? view.getBigUint64(0, true) : BigInt(view.getUint32(0, true))
      lines += `level ${level--}, ${hex(gpa)}: ${there ? describeEntry(value) : 'no memory'}\n`
      return there
    }
    const tables: TableReader = {
      read32: (gpa, into) => read(gpa, into, 1),
      read64: (gpa, into) => read(gpa, into, 2),
      compareExchange32: () => true,
      compareExchange64: () => true,
    }
    const result = new WalkResult()
    const [lo, hi] = [Number(address & 0xffff_ffffn), Number(address >> 32n)]
    if (context.mode === PagingMode.PAE) level--
    const outcome = probe(context, tables, lo, hi, ACCESS_READ, result)
    if (outcome === WALK_OK) return `${lines}${hex(address)} is guest-physical ${hex(result.gpa)}\n`
    return `${lines}${hex(address)} is not mapped for a supervisor's read\n`
  }
}

/** Bits of an entry that all levels have, by their names in the manual (SDM vol. 3A, "4-Level Paging"). */
const ENTRY_BITS: readonly (readonly [bit: bigint, name: string])[] = [
  [0n, 'P'],
  [1n, 'R/W'],
  [2n, 'U/S'],
  [3n, 'PWT'],
  [4n, 'PCD'],
  [5n, 'A'],
  [6n, 'D'],
  [63n, 'XD'],
]

function describeEntry(value: bigint): string {
  const names = ENTRY_BITS.filter(([bit]) => ((value >> bit) & 1n) === 1n).map(([, name]) => name)
  return `${hex(value)}${names.map((name) => ` ${name}`).join('')}`
}
