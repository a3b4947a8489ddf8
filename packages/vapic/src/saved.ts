/** Migration state: that of the QEMU device "kvm-tpr-opt", version 1, field for field. All fields have 32 bits. */
import { describeArgument } from '@retrap/basics'
import { check } from './arguments.ts'
import { VapicError } from './errors.ts'
import type { Handlers, RomStructure } from './structure.ts'

/** Addresses of the ROM's helpers, by the stream's names. */
export interface SavedHandlers {
  /** Helper that sets the priority to a value on the stack. */
  readonly set_tpr: number
  /** Helper that sets the priority to EAX. */
  readonly set_tpr_eax: number
  /** Helpers that read the priority, by register. */
  readonly get_tpr: readonly number[]
  /** Helper that reads the priority onto the stack. */
  readonly get_tpr_stack: number
}

/** The fields of the migration stream, by QEMU's names. */
export interface SavedVapic {
  /** Version of the stream. */
  readonly version: 1
  /** The kvmvapic ROM's announced structure, QEMU's `GuestROMState`: addresses, and handlers for one and more processors. */
  readonly rom_state: {
    readonly vaddr: number
    readonly fixup_start: number
    readonly fixup_end: number
    readonly vapic_vaddr: number
    readonly vapic_size: number
    readonly vcpu_shift: number
    readonly real_tpr_addr: number
    readonly up: SavedHandlers
    readonly mp: SavedHandlers
  }
  /** 0 inactive, 1 active, 2 standby. */
  readonly state: number
  /** Linear address of the task priority register. */
  readonly real_tpr_addr: number
  /** Linear address of the structure. */
  readonly rom_state_vaddr: number
  /** Guest-physical address of the first record. */
  readonly vapic_paddr: number
  /** Guest-physical address of the structure. */
  readonly rom_state_paddr: number
}

/** Bytes of the stream: 8 that are not used (the signature), 7 + 2 × 11 words of the structure, 5 words of state. */
export const SAVED_BYTES: number = 8 + (7 + 22 + 5) * 4

const saveHandlers = (handlers: Handlers): SavedHandlers => ({
  set_tpr: handlers.set,
  set_tpr_eax: handlers.setEax,
  get_tpr: [...handlers.get],
  get_tpr_stack: handlers.getStack,
})

/** Returns the structure in the stream's form. */
export function saveStructure(structure: RomStructure): SavedVapic['rom_state'] {
  return {
    vaddr: structure.self,
    fixup_start: structure.fixupStart,
    fixup_end: structure.fixupEnd,
    vapic_vaddr: structure.area,
    vapic_size: structure.areaBytes,
    vcpu_shift: structure.shift,
    real_tpr_addr: structure.realTpr,
    up: saveHandlers(structure.up),
    mp: saveHandlers(structure.mp),
  }
}

const noHandlers: SavedHandlers = { set_tpr: 0, set_tpr_eax: 0, get_tpr: [0, 0, 0, 0, 0, 0, 0, 0], get_tpr_stack: 0 }

export const noStructure: SavedVapic['rom_state'] = {
  vaddr: 0,
  fixup_start: 0,
  fixup_end: 0,
  vapic_vaddr: 0,
  vapic_size: 0,
  vcpu_shift: 0,
  real_tpr_addr: 0,
  up: noHandlers,
  mp: noHandlers,
}

const handlerWords = (handlers: SavedHandlers): number[] => [
  handlers.set_tpr,
  handlers.set_tpr_eax,
  ...handlers.get_tpr,
  handlers.get_tpr_stack,
]

/** @throws VapicError `ERR_SAVED`, which names the first field that differs, unless `saved` has the fields of a stream */
export function checkSaved(saved: SavedVapic): void {
  const template: SavedVapic = {
    ...{ version: 1, rom_state: noStructure, state: 0, real_tpr_addr: 0 },
    ...{ rom_state_vaddr: 0, vapic_paddr: 0, rom_state_paddr: 0 },
  }
  checkFields('the stream', saved, template)
}

function checkFields(name: string, value: unknown, template: unknown): void {
  if (typeof template === 'number') {
    if (typeof value === 'number' && value >>> 0 === value) return
    throw new VapicError('ERR_SAVED', `${name} is ${describeArgument(value)}: expected an unsigned word`)
  }
  if (typeof value !== 'object' || value === null || (Array.isArray(template) && !Array.isArray(value))) {
    throw new VapicError('ERR_SAVED', `${name} is ${describeArgument(value)}: expected ${describeArgument(template)}`)
  }
  for (const [key, each] of Object.entries(template as object)) {
    checkFields(`${key} of ${name}`, (value as Readonly<Record<string, unknown>>)[key], each)
  }
}

/** The stream's bytes, as QEMU sends them: big-endian, the structure's eight unused bytes first. */
export function encodeSaved(saved: SavedVapic): Uint8Array {
  checkSaved(saved)
  const { rom_state: rom } = saved
  const words = [
    rom.vaddr,
    rom.fixup_start,
    rom.fixup_end,
    rom.vapic_vaddr,
    rom.vapic_size,
    rom.vcpu_shift,
    rom.real_tpr_addr,
    ...handlerWords(rom.up),
    ...handlerWords(rom.mp),
    saved.state,
    saved.real_tpr_addr,
    saved.rom_state_vaddr,
    saved.vapic_paddr,
    saved.rom_state_paddr,
  ]
  const bytes = new Uint8Array(SAVED_BYTES)
  const view = new DataView(bytes.buffer)
  words.forEach((value, index) => view.setUint32(8 + index * 4, value))
  return bytes
}

/**
 * Reads the stream.
 *
 * @throws VapicError `ERR_SAVED` for another length
 */
export function decodeSaved(bytes: Uint8Array): SavedVapic {
  check.bytes('bytes', bytes)
  if (bytes.length !== SAVED_BYTES) {
    throw new VapicError('ERR_SAVED', `the stream has ${bytes.length} bytes; version 1 has ${SAVED_BYTES}`)
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 8
  const next = (): number => {
    at += 4
    return view.getUint32(at - 4)
  }
  const handlers = (): SavedHandlers => ({
    set_tpr: next(),
    set_tpr_eax: next(),
    get_tpr: Array.from({ length: 8 }, next),
    get_tpr_stack: next(),
  })
  return {
    version: 1,
    rom_state: {
      vaddr: next(),
      fixup_start: next(),
      fixup_end: next(),
      vapic_vaddr: next(),
      vapic_size: next(),
      vcpu_shift: next(),
      real_tpr_addr: next(),
      up: handlers(),
      mp: handlers(),
    },
    state: next(),
    real_tpr_addr: next(),
    rom_state_vaddr: next(),
    vapic_paddr: next(),
    rom_state_paddr: next(),
  }
}
