/** What the programs of the chaos oracle are made of: the instruction, its registers and memory, and what comes up meanwhile. */
import type { Rng } from '@retrap/tooling/soak'
import type { Choices, Entry } from './corpus.ts'
import * as L from './layout.ts'
import type { Mode, WindowPage } from './layout.ts'
import type { ChaosMachine } from './machine.ts'

/**
 * - any form: each in turn, on RAM and devices, whole and across pages.
 * - repeated: REP with many iterations, that faults and interrupts may end in the middle.
 * - events: exceptions, interrupts, far transfers and task switches, whose tables and stacks devices may hold.
 * - own walk: code in a page table, whose own walks change its bytes.
 * - tasks: task switches and nothing else, whose tables and tasks a device holds.
 * - elements: what is accessed part by part, and has a place to go on at.
 */
export const KINDS = ['any form', 'repeated', 'events', 'own walk', 'tasks', 'elements'] as const
export type Kind = (typeof KINDS)[number]

/** What interrupts the instruction: what waits when it begins, or after STI; or what comes up, and returns to it. */
export type Interrupts = 'none' | 'before' | 'shadowed' | 'during'

/** What an instruction begins with, the same on both machines. */
export interface Start {
  readonly form: string
  readonly bytes: Uint8Array
  /** Linear and guest-physical address of its code. */
  readonly linear: number
  readonly code: number
  /** Sixteen registers of 64 bits. */
  readonly registers: Uint8Array
  /** YMM5: indices of gathers. */
  readonly indices: Uint8Array | undefined
  readonly flags: number
  readonly fullX87: boolean
  readonly clearAccessed: boolean
  readonly interrupts: Interrupts
  /** Vector of interrupts that come up. */
  readonly vector: number
  /** It may have many iterations. */
  readonly repeats: boolean
  /** Others follow it in its bytes. */
  readonly followed: boolean
  /** Where interrupts that return leave their frames: guest-physical address of the end. */
  readonly frames: number
  /** Writes what memory holds, on one machine. */
  prepare(machine: ChaosMachine): void
}

/** What a program begins with. */
export interface Program {
  readonly kind: Kind
  readonly mode: Mode
  /** System pages that the storing device holds. */
  readonly stored: readonly number[]
  readonly window: readonly WindowPage[]
}

const STI = 0xfb
/** A vector whose handler halts. */
export const INTERRUPT = 0x31
/** What a segment register, LDTR or TR may be loaded with: data, tasks and tables, null, one of the LDT, and none. */
const DATA_SELECTORS: readonly number[] = [0x2b, 0x18, 0x28, 0, 0x0f, 0x40, 0x50, 0x78, 0x80, 0xf8]
/** What keeps parts that are done when an event ends it in the middle. */
export const HAS_PROGRESS: RegExp = /^(V(P?GATHER|P?SCATTER)|TILE(LOAD|STORE))/
/** Instructions of many accesses. */
const ELEMENTS = /^(V(P?GATHER|P?SCATTER)|TILE|V.*(COMPRESS|EXPAND|MASKMOV)|XSAVE|XRSTOR|LDTILE|STTILE)/
const RESTORES = /^XRSTOR/
const FLAG_TF = 0x100
const FLAG_IF = 0x200
const FLAG_DF = 0x400
const FLAG_NT = 0x4000
const [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI] = [0, 1, 2, 3, 4, 5, 6, 7]
/** They load CS and more from the stack, or from their operand: memory or immediate. */
const RETURNS = /^(RETF|IRET)/
const FAR = /^(CALLF|JMPF)/
/** They load another segment register, LDTR or TR. */
const LOADS = /^(L[DESFG]S|LTR|LLDT|POP|MOV Sreg)/
/** They go to another place, or fault, by way of descriptors. */
const EVENTS = /^(INT|INTO|IRET|RETF|CALLF|JMPF|BOUND|SYSRET|SYSEXIT|L[DESFG]S|LTR|LLDT|POP [DEFGS]S|MOV Sreg)/

/** They switch tasks, if what they name is one. */
const SWITCHES = /^((CALLF|JMPF) ptr|INT imm8|IRET)/
/** Tasks to switch to, and a gate to one. */
const TASK_SELECTORS: readonly number[] = [0x78, 0x80, 0x8b]
const TASK_VECTOR = 0x20
/** What often stands in a line, and is seldom its end. */
const PLAIN =
  /^(MOV|MOVZX|MOVSX|MOVBE|ADD|SUB|AND|OR|XOR|CMP|TEST|INC|DEC|NOT|SHL|BT|XCHG|XADD|CMPXCHG|SET\w+|CMOV\w+|IN|OUT|PUSH|STOS\w|LODS\w|MOVD|MOVQ|MOVUPS|FNSTCW|FLD) /
/** Bytes of one that follows another. */
const MOST_BYTES = 8
/** The same of how many there are. */
const FOLLOWERS = 4

/** The instructions that a kind of program has, by width. */
export class Choice {
  readonly #all: Readonly<Record<16 | 32 | 64, readonly (readonly Entry[])[]>>
  readonly #strings: Readonly<Record<16 | 32 | 64, readonly (readonly Entry[])[]>>
  readonly #repeated: Readonly<Record<16 | 32 | 64, readonly (readonly Entry[])[]>>
  readonly #events: Readonly<Record<16 | 32 | 64, readonly (readonly Entry[])[]>>
  readonly #elements: Readonly<Record<16 | 32 | 64, readonly (readonly Entry[])[]>>
  readonly #switches: Readonly<Record<16 | 32 | 64, readonly (readonly Entry[])[]>>
  /** What one may be followed by: of few bytes, and seldom the end. */
  readonly #plain: Readonly<Record<16 | 32 | 64, readonly Entry[]>>
  /** Every form, in the order in which programs take their turn, and its encodings by width. */
  readonly forms: readonly string[]
  readonly #byForm: Readonly<Record<16 | 32 | 64, ReadonlyMap<string, readonly Entry[]>>>

  constructor(all: Readonly<Record<16 | 32 | 64, readonly (readonly Entry[])[]>>) {
    const each = <T>(of: (forms: readonly (readonly Entry[])[]) => T): Record<16 | 32 | 64, T> => ({
      16: of(all[16]),
      32: of(all[32]),
      64: of(all[64]),
    })
    this.#all = all
    const string = /^(INS[BWD]|OUTS[BWD]|(MOV|CMP|STO|LOD|SCA)S[BWDQ]) /
    // Those that access ports, and string instructions: few forms with much to go wrong.
    this.#strings = each((forms) => forms.filter(([e]) => string.test(e!.form) || /^(IN|OUT) /.test(e!.form)))
    this.#repeated = each((forms) =>
      forms
        .filter(([e]) => string.test(e!.form))
        .map((entries) => entries.filter(({ bytes }) => bytes.some((b) => b === 0xf2 || b === 0xf3))),
    )
    this.#events = each((forms) => forms.filter(([e]) => EVENTS.test(e!.form)))
    this.#elements = each((forms) => forms.filter(([e]) => ELEMENTS.test(e!.form)))
    this.#switches = each((forms) =>
      forms
        .filter(([e]) => SWITCHES.test(e!.form))
        .map((entries) => entries.filter(({ form, bytes }) => !form.startsWith('INT') || bytes[1] === TASK_VECTOR)),
    )
    this.#plain = each((forms) =>
      forms
        .filter(([e]) => PLAIN.test(e!.form))
        .flat()
        .filter(({ form, bytes }) => bytes.length <= MOST_BYTES && !EVENTS.test(form)),
    )
    this.#byForm = each((forms) => new Map(forms.map((entries) => [entries[0]!.form, entries])))
    this.forms = [...new Set([...Object.values(all)].flat().map(([e]) => e!.form))]
  }

  /** What follows an instruction now and then, in one line with it. */
  follow(rng: Rng, { kind, mode }: Program): Uint8Array {
    const plain = this.#plain[mode.bits]
    if (kind !== 'any form' || rng.below(6) !== 5 || plain.length === 0) return new Uint8Array()
    const count = 1 + rng.below(FOLLOWERS)
    return Buffer.concat(Array.from({ length: count }, () => (plain[rng.below(plain.length)] as Entry).bytes))
  }

  /** @param turn - number of the form whose turn it is */
  pick(rng: Rng, { kind, mode }: Program, turn: number): Entry {
    const { bits } = mode
    let among = this.#all[bits]
    if (kind === 'repeated') among = this.#repeated[bits]
    else if (kind === 'tasks') among = this.#switches[bits]
    else if (kind === 'elements') among = this.#elements[bits]
    else if (kind === 'events') among = rng.below(4) === 3 ? among : this.#events[bits]
    else if (rng.below(16) === 15 && this.#strings[bits].length > 0) among = this.#strings[bits]
    else {
      const due = this.#byForm[bits].get(this.forms[turn % this.forms.length] as string)
      if (due !== undefined) return due[rng.below(due.length)] as Entry
    }
    const variants = among[rng.below(among.length)] as readonly Entry[]
    return variants[rng.below(variants.length)] as Entry
  }
}

/** Draws a program: its kind, and what its pages are. */
export function drawProgram(rng: Rng, mode: Mode, disturbed: boolean, choices: Choices): Program {
  const draw = rng.below(16)
  let kind: Kind = draw < 10 ? 'any form' : draw < 13 ? 'repeated' : draw < 15 ? 'events' : 'own walk'
  if (choices === 'extended') kind = draw < 6 ? 'any form' : 'elements'
  else if (disturbed) kind = disturbedKind(draw, mode)
  const odds = kind === 'events' ? 2 : 6
  const stored = L.SYSTEM_PAGES.filter((page) => rng.below(odds) === odds - 1 || (kind === 'tasks' && page === L.TSS))
  const window = Array.from({ length: L.WINDOW_PAGES }, (): WindowPage => {
    const page = rng.below(8)
    if (page < 3) return 'RAM'
    if (page < 5) return 'FIFO'
    if (page < 7) return 'store'
    return kind === 'any form' ? 'ROM' : (['absent', 'read-only', 'ROM'] as const)[rng.below(3)]!
  })
  // Interrupts that come up in the middle are taken at another time by the machine that need not wait.
  return { kind, mode, stored: kind === 'repeated' || kind === 'elements' ? [] : stored, window }
}

/** Events, repetitions and task switches are few, and have much to be disturbed in. */
function disturbedKind(draw: number, { paging, supervisor }: Mode): Kind {
  if (draw < 6) return 'any form'
  if (draw < 9) return 'repeated'
  if (draw < 12 && paging !== 'long' && supervisor) return 'tasks'
  return draw < 15 ? 'events' : 'own walk'
}

/** Gives a machine's pages to whom a program wants them to belong. */
export function arrange(machine: ChaosMachine, program: Program): void {
  for (const [i, page] of program.window.entries()) {
    L.mapWindow(machine.view, i, page)
    machine.setRom(L.windowFrame(i) >>> 12, page === 'ROM')
  }
  if (program.kind === 'own walk') L.mapTableCode(machine.view, program.mode.paging)
}

/**
 * Draws one instruction of a program.
 *
 * @param after - code that follows it
 */
export function drawStart(rng: Rng, program: Program, entry: Entry, after: Uint8Array, first: Uint8Array): Start {
  const { kind, mode } = program
  const long = mode.bits === 64
  const base = mode.bits === 16 ? L.BASE_16 : 0
  const registers = new Uint8Array(128)
  const words = new DataView(registers.buffer)
  for (let i = 0; i < (long ? 16 : 8); i++) {
    const value = rng.below(4) === 0 ? rng.below(0x100) - 0x80 : rng.u32()
    words.setInt32(8 * i, value, true)
    words.setInt32(8 * i + 4, long && rng.below(4) === 3 ? rng.u32() : 0, true)
  }
  const set = (register: number, value: number): void => {
    words.setUint32(8 * register, value, true)
    words.setUint32(8 * register + 4, 0, true)
  }
  const operand = address(rng, entry.size)
  const kernelStack = mode.supervisor && rng.below(4) === 3 && base === 0
  let stack =
    rng.below(3) === 0 ? address(rng, 64) : L.USER_STACK + 0x800 + rng.below(0x40) * (rng.below(2) === 0 ? 8 : 1)
  if (kernelStack) stack = L.KERNEL_STACK + 0x800 + 8 * rng.below(0x40)
  set(RCX, rng.below(8) === 7 ? rng.u32() & 0xff : rng.below(10))
  if (rng.below(2) === 0) set(RDX, L.PORT + rng.below(L.PORTS))
  set(RBX, operand - base)
  set(RBP, address(rng, 64) - base)
  const source = address(rng, entry.size)
  set(RSI, source - base)
  set(RDI, (rng.below(4) === 0 ? source : address(rng, entry.size)) - base)
  let indices: Uint8Array | undefined
  if (rng.below(2) === 0) indices = Uint8Array.from({ length: 64 }, (_, i) => (i % 8 === 0 ? rng.below(0x60) : 0))
  let flags = (rng.u32() & 0xcd5) | 0x3002 | (rng.below(16) === 15 ? FLAG_TF : 0)
  const fullX87 = rng.below(2) === 1
  let clearAccessed = rng.below(4) === 3
  let interrupts: Interrupts = 'none'
  // An event may end a gather between two elements, if they had to be waited for.
  const odd = rng.below(24) === 23 && kind !== 'own walk' && !HAS_PROGRESS.test(entry.form)
  if (odd) interrupts = rng.below(2) === 1 ? 'shadowed' : 'before'

  if (kind === 'repeated') {
    set(RCX, iterations(rng))
    set(RSI, nearEdge(rng) - base)
    set(RDI, (rng.below(4) === 3 ? words.getUint32(8 * RSI, true) + base + rng.below(8) : nearEdge(rng)) - base)
    flags &= ~FLAG_TF
    if (rng.below(2) === 1) flags ^= FLAG_DF
    interrupts = rng.below(3) === 2 ? 'during' : 'none'
    if (interrupts === 'during') stack = L.USER_STACK + 0x900
  }
  if (kind === 'elements') {
    // Tiles are many accesses of XSAVE: the others suffice, most of the time.
    set(RAX, words.getUint32(8 * RAX, true) & (rng.below(8) === 7 ? -1 : ~(1 << 18)))
    flags &= ~FLAG_TF
    interrupts = rng.below(3) === 2 ? 'during' : 'none'
    if (interrupts === 'during') stack = L.USER_STACK + 0x900
  }
  if (interrupts === 'before' || interrupts === 'during') flags |= FLAG_IF
  else if (kind === 'repeated' || kind === 'elements') flags &= ~FLAG_IF
  const nested =
    (kind === 'events' && mode.paging !== 'long' && rng.below(8) === 7) ||
    (kind === 'tasks' && entry.form.startsWith('IRET'))
  if (nested) flags |= FLAG_NT
  set(RSP, stack - base)

  const own = kind === 'own walk' ? ownWalk(rng, mode) : undefined
  let bytes = own?.bytes ?? (interrupts === 'shadowed' ? Uint8Array.of(STI, ...entry.bytes) : entry.bytes)
  if ((kind === 'events' || kind === 'tasks') && FAR.test(entry.form) && entry.form.includes('ptr')) {
    const selectors = kind === 'tasks' ? TASK_SELECTORS : L.FAR_SELECTORS
    bytes = bytes.slice()
    bytes[bytes.length - 2] = selectors[rng.below(selectors.length)] as number
  }
  bytes = Uint8Array.of(...bytes, ...after)
  // Near the end of a page, now and then.
  let linear = L.CODE + (rng.below(3) === 2 ? 0x1000 - rng.below(bytes.length + 1) : 0x40)
  let code = linear
  if (own !== undefined) {
    code = L.ownEntry(mode.paging) + 1 - bytes.length
    linear = L.TABLE_CODE + (code & 0xfff)
    set(RBX, L.WINDOW + 0x100 + rng.below(0x80) - base)
    set(RDI, L.WINDOW + 0x200 + rng.below(0x80) - base)
    // The entry of the page with the stack is code too: a fault's frame sets A and D there.
    if (mode.supervisor && rng.below(2) === 1) set(RSP, L.WINDOW + 0x1800 - base)
    clearAccessed = true
  }
  const frame = drawFrame(rng, program, entry)
  const followed = after.length > 0
  return {
    form: own === undefined ? entry.form : 'own walk',
    ...{ bytes, linear, code, registers, indices, flags, fullX87, clearAccessed, interrupts },
    repeats: kind === 'repeated',
    followed,
    vector: interrupts === 'during' ? L.returningVector(mode.paging) : INTERRUPT,
    frames: mode.supervisor ? L.USER_STACK_GPA + 0x900 : L.KERNEL_STACK + 0x1000,
    prepare(machine) {
      if (kind === 'events' || kind === 'tasks') {
        L.restoreSystem(machine.ram, first, mode.paging, nested)
        L.restoreSystem(machine.devices.store, first, mode.paging, nested)
      }
      if (own !== undefined) {
        L.mapWindow(machine.view, 0, program.window[0] as WindowPage)
        machine.ram[L.ownEntry(mode.paging)]! |= own.kept
        // The entry before it is of a page that nobody uses.
        machine.ram.set(bytes.subarray(0, -1), code)
        machine.codeHasChanged()
      } else writeCode(machine, code, bytes)
      if (frame !== undefined) {
        const at = frame.onStack ? stack : operand
        for (const { offset, size, value } of frame.fields)
          for (let i = 0; i < size; i++) poke(machine, program, at + offset + i, value >>> (8 * i))
      }
    },
  }
}

/** Bytes of code, in RAM and in the device that may hold that page. */
export function writeCode(machine: ChaosMachine, at: number, bytes: Uint8Array): void {
  machine.memory.write(machine.machineAddress(at), bytes)
  machine.devices.store.set(bytes, at)
}

/** Writes a byte of the guest's where it is, if that can be written. */
function poke(machine: ChaosMachine, { window, stored }: Program, linear: number, value: number): void {
  const page = (linear - L.WINDOW) >>> 12
  if (linear >= L.WINDOW && page < L.WINDOW_PAGES) {
    if (window[page] === 'store') machine.devices.store[L.storedWindow(page) + (linear & 0xfff)] = value
    else machine.ram[L.windowFrame(page) + (linear & 0xfff)] = value
    return
  }
  const gpa = linear >= L.USER_STACK ? linear - L.USER_STACK + L.USER_STACK_GPA : linear
  if (gpa >= L.RAM_BYTES) return
  if (stored.includes(gpa & ~0xfff)) machine.devices.store[gpa] = value
  else machine.ram[gpa] = value
}

/** An address that an operand of `size` bytes may cross a page from, or lie wholly in one. */
function address(rng: Rng, size: number): number {
  const page = L.WINDOW + 0x1000 * rng.below(L.WINDOW_PAGES)
  switch (rng.below(4)) {
    case 0:
      return page + 0x800 + 64 * rng.below(8)
    case 1:
      return page + 0x10 + rng.below(0x100)
    default: {
      const edge = L.WINDOW + 0x1000 * (1 + rng.below(L.WINDOW_PAGES - 1))
      return rng.below(2) === 0 ? edge - rng.below(size + 1) : (edge - rng.below(size + 16)) & -16
    }
  }
}

/** Where a repeated instruction crosses a page sooner or later, upwards or downwards. */
function nearEdge(rng: Rng): number {
  const edge = L.WINDOW + 0x1000 * rng.below(L.WINDOW_PAGES + 1)
  const away = rng.below(3) === 0 ? 0x100 : 0x18
  return edge + rng.below(2 * away) - away
}

/** Mostly few; sometimes more than one page's worth of the smallest element. */
function iterations(rng: Rng): number {
  const draw = rng.below(64)
  if (draw < 40) return rng.below(12)
  return draw < 62 ? rng.below(80) : (draw === 62 ? 0x380 : 0xfc0) + rng.below(0x80)
}

interface Frame {
  readonly onStack: boolean
  readonly fields: readonly { readonly offset: number; readonly size: number; readonly value: number }[]
}

/** The fields of a saved state that say what is in it, so that it is restored, most of it. */
function headerOf(rng: Rng): Frame {
  const fields = [{ offset: 24, size: 4, value: 0x1f80 }]
  for (let offset = 512; offset < 576; offset += 4) fields.push({ offset, size: 4, value: 0 })
  fields[1]!.value = rng.u32() & 0xe_02e7
  if (rng.below(2) === 0)
    fields.push({ offset: 520, size: 4, value: 0xe_02e7 }, { offset: 524, size: 4, value: 1 << 31 })
  return { onStack: false, fields }
}

/** Far pointers, selectors and frames to return to that lead somewhere, if memory that can be written holds them. */
function drawFrame(rng: Rng, { kind, mode }: Program, { form, word }: Entry): Frame | undefined {
  if (RESTORES.test(form)) return headerOf(rng)
  const returns = RETURNS.test(form)
  const far = FAR.test(form)
  if (!returns && !far && (kind !== 'events' || !LOADS.test(form))) return undefined
  const ours = mode.supervisor ? 0x38 : 0x23
  if (!returns && !far) {
    const selector = DATA_SELECTORS[rng.below(DATA_SELECTORS.length)] as number
    const full = /^L[DESFG]S/.test(form)
    return { onStack: form.startsWith('POP'), fields: [{ offset: full ? word : 0, size: 2, value: selector }] }
  }
  let selector = rng.below(2) === 0 ? 0x38 : 0x23
  if (kind === 'events') {
    const odd = rng.below(4) > (returns ? 2 : 0)
    selector = odd ? (L.FAR_SELECTORS[rng.below(L.FAR_SELECTORS.length)] as number) : ours
  }
  const values = returns ? [L.HANDLERS, selector, 0x3202, L.USER_STACK + 0x900, 0x2b] : [L.HANDLERS, selector]
  const fields = values.map((value, i) => ({ offset: i * word, size: i === 1 ? 2 : Math.min(word, 4), value }))
  return { onStack: returns, fields }
}

/**
 * An instruction whose last byte is the first of the entry of the page that it accesses: its walk sets A and D there,
 * in the middle of an immediate, a displacement or a ModRM byte.
 */
function ownWalk(rng: Rng, mode: Mode): { readonly bytes: Uint8Array; readonly kept: number } {
  const rm = mode.bits === 16 ? 7 : 3
  const group = rng.below(8) << 3
  const reg = ([0, 1, 2, 6] as const)[rng.below(4)]! << 3
  const heads: readonly (readonly number[])[] = [
    [0x80, group | rm],
    [0xc6, rm],
    [0xf6, rm],
    [0x6b, reg | rm],
    [0x8a, 0x40 | reg | rm],
    [0x88, 0x40 | reg | rm],
    [0x8a],
    [0x88],
    [0x00],
    [0xfe],
  ]
  // PWT and PCD are bits that nothing changes.
  const kept = rng.below(4) << 3
  return { bytes: Uint8Array.of(...(heads[rng.below(heads.length)] as readonly number[]), 7 | kept), kept }
}
