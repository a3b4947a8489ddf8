import { X86CpuError } from '../errors.ts'
import type { MsrField, Processor, ProcessorExtension } from '../model/processor.ts'
import * as S from '../state/state-layout.ts'
import {
  COMPONENTS,
  COMPONENT_ALIGNED,
  COMPONENT_XFD,
  VECTOR_STRIDE,
  disableable,
  transfers,
  vectorCount,
  type RegisterBytes,
  type Registers,
  type StateComponent,
} from '../state/state-components.ts'
import { bytesOf, spreadBytes } from '../system/saved-state.ts'
import { isTileConfiguration } from './amx/tile-configuration.ts'

/**
 * The state of AVX-512, AMX and APX as XSAVE and CPUID have it.
 *
 * Source: SDM vol. 1, "XSAVE-Supported Features and State-Component Bitmaps", "Processor Tracking of XSAVE-Managed State"; vol.
 * 2A, "CPUID—CPU Identification"; AMD APM vol. 3, appendix E; Intel Architecture Instruction Set Extensions Programming Reference.
 */

const S_ZMM16 = S.S_XMM + 16 * VECTOR_STRIDE

type Place = Pick<StateComponent, 'standard' | 'flags'>

const component =
  (number: number, size: number, registers: Registers) =>
  (place: Place): StateComponent => ({ bit: 1 << number, number, size, ...place, ...transfers(registers) })

/** A component that is one block of the state, which 64-bit mode alone has. */
const block = (number: number, size: number, offset: number): ReturnType<typeof component> =>
  component(number, size, { offset, width: size, stride: size, count: ({ mode64 }) => (mode64 ? 1 : 0) })

const masks = component(5, 64, { offset: S.S_OPMASK, width: 64, stride: 64, count: () => 1 })
const upperHalves = component(6, 512, {
  offset: S.S_XMM + 32,
  width: 32,
  stride: VECTOR_STRIDE,
  count: vectorCount,
})
const upperRegisters = block(7, 1024, S_ZMM16)
const tileData = block(18, 8192, S.S_TMM)
const generalRegisters = block(19, 128, S.S_EGPR)

/** TILECFG. A configuration that LDTILECFG would refuse becomes the initial one. */
function tileConfiguration(place: Place): StateComponent {
  const plain = block(17, 64, S.S_TILECFG)(place)
  return {
    ...plain,
    give: (s, area, at) => {
      const isValid = isTileConfiguration(area.subarray(at, at + 64))
      plain.give?.(s, isValid ? area : new Uint8Array(64), isValid ? at : 0)
    },
  }
}

/**
 * Offsets in the standard form. Intel's processors with AVX-512 or AMX keep the places of MPX free, which APX then took; AMD's
 * put components behind each other.
 */
function components(processor: Processor): readonly StateComponent[] {
  const { amd, xcr0 } = processor
  const at = (standard: number, flags = 0): Place => ({ standard, flags })
  const [avx, pkru] = COMPONENTS as readonly [StateComponent, StateComponent]
  const all = [
    avx,
    masks(at(amd ? 832 : 1088)),
    upperHalves(at(amd ? 896 : 1152)),
    upperRegisters(at(amd ? 1408 : 1664)),
    { ...pkru, standard: amd ? 2432 : 2688 },
    tileConfiguration(at(2752, COMPONENT_ALIGNED)),
    tileData(at(2816, COMPONENT_ALIGNED | (processor.has('XFD') ? COMPONENT_XFD : 0))),
    generalRegisters(at(amd ? 2496 : 960)),
  ]
  const found = all.filter(({ bit }) => (xcr0 & bit) !== 0)
  return found.every(({ bit }) => COMPONENTS.some((base) => base.bit === bit)) ? COMPONENTS : found
}

/** CPUID leaves: palettes of tiles, the tile multiplier, AVX10, APX. */
const [TILES, MULTIPLIER, AVX10, APX] = [0x1d, 0x1e, 0x24, 0x29]
const LEAVES: readonly (readonly [feature: string, leaf: number])[] = [
  ['AMX_TILE', MULTIPLIER],
  ['AVX10_1', AVX10],
  ['APX_F', APX],
]
/** Leaf 1EH, sub-leaf 1, EAX repeats these from leaf 7. */
const REPEATED = ['AMX_INT8', 'AMX_BF16', 'AMX_COMPLEX', 'AMX_FP16']
/** Vectors of 128, 256 and 512 bits. */
const AVX10_LENGTHS = 7 << 16
const AVX10_VNNI_INT = 1 << 2

function cpuid(processor: Processor, leaf: number, subleaf: number, into: Uint32Array): void {
  const has = (name: string): boolean => processor.has(name)
  const last = processor.lastSubleaf(MULTIPLIER)
  if (leaf === TILES && has('AMX_TILE')) {
    if (subleaf === 0) into[0] = 1
    // Bytes of all tiles and of one; bytes of a row, tiles; rows.
    else if (subleaf === 1) into.set([8192 | (1024 << 16), 64 | (8 << 16), 16, 0])
  } else if (leaf === MULTIPLIER && has('AMX_TILE')) {
    // Most rows, and most bytes of a column.
    if (subleaf === 0) into.set([last, 16 | (64 << 8), 0, 0])
    else if (subleaf === 1 && last === 1) for (const [i, name] of REPEATED.entries()) into[0]! |= has(name) ? 1 << i : 0
  } else if (leaf === AVX10 && has('AVX10_1')) {
    const isSecond = has('AVX10_2')
    if (subleaf === 0) into.set([isSecond ? 1 : 0, (isSecond ? 2 : 1) | AVX10_LENGTHS, 0, 0])
    else if (subleaf === 1 && isSecond) into[2] = AVX10_VNNI_INT
  } else if (leaf === APX && has('APX_F') && subleaf === 0) into[1] = 1
}

const takesDisableable: MsrField['takes'] = ({ components: all }, lo, hi) => hi === 0 && (lo & ~disableable(all)) === 0

/** PASID, bits 19:0, and whether it is valid, bit 31; bits 11:1 between the page of bitmaps and the bit that enables them. */
const [PASID_RESERVED, USER_MSR_RESERVED] = [0x7ff0_0000, 0xffe]

/**
 * Model-specific registers: IA32_USER_MSR_CTL; IA32_XFD and IA32_XFD_ERR, read and written for the components that CPUID leaf DH
 * says can be disabled; IA32_PASID, which is no component of XSAVES here.
 */
const MSRS: ReadonlyMap<number, MsrField & { readonly feature: string }> = new Map([
  [
    0x1c,
    {
      feature: 'USER_MSR',
      field: S.S_USER_MSR_CTL,
      takes: ({ canonicalShift: shift }, lo, hi) =>
        (lo & USER_MSR_RESERVED) === 0 && (hi << shift) >> shift === (hi | 0),
    },
  ],
  [0x1c4, { feature: 'XFD', field: S.S_XFD, takes: takesDisableable }],
  [0x1c5, { feature: 'XFD', field: S.S_XFD_ERR, takes: takesDisableable }],
  [0xd93, { feature: 'ENQCMD', field: S.S_PASID, takes: (_, lo, hi) => hi === 0 && (lo & PASID_RESERVED) === 0 }],
])

function msr(processor: Processor, index: number): MsrField | undefined {
  const found = MSRS.get(index)
  return found !== undefined && processor.has(found.feature) ? found : undefined
}

/** Registers in `SavedCpu.extended`: the feature that has them; place, bytes of each, distance, number. */
type SavedRegisters = readonly [
  name: string,
  feature: string,
  offset: number,
  width: number,
  stride?: number,
  count?: number,
]
export const SAVED: readonly SavedRegisters[] = [
  ['masks', 'AVX512F', S.S_OPMASK, 64],
  ['zmmUpper', 'AVX512F', S.S_XMM + 32, 32, VECTOR_STRIDE, 16],
  ['zmm16', 'AVX512F', S_ZMM16, 16 * VECTOR_STRIDE],
  ['tileConfiguration', 'AMX_TILE', S.S_TILECFG, 64],
  ['tiles', 'AMX_TILE', S.S_TMM, 8192],
  ['generalRegisters', 'APX_F', S.S_EGPR, 128],
  ['xfd', 'XFD', S.S_XFD, 16],
  ['pasid', 'ENQCMD', S.S_PASID, 8],
  ['userMsr', 'USER_MSR', S.S_USER_MSR_CTL, 8],
]

function save(processor: Processor, s: RegisterBytes): Readonly<Record<string, string>> | undefined {
  const saved: Record<string, string> = {}
  const there = SAVED.filter(([, feature]) => processor.has(feature))
  for (const [name, , offset, width, stride = 0, count = 1] of there) {
    let digits = ''
    for (let i = 0; i < count; i++) digits += bytesOf(s, offset + stride * i, width)
    if (/[^0]/.test(digits)) saved[name] = digits
  }
  return there.length === 0 ? undefined : saved
}

function restore(processor: Processor, s: RegisterBytes, saved: Readonly<Record<string, string>>): void {
  for (const [name, feature, offset, width, stride = 0, count = 1] of SAVED) {
    const digits = saved[name] ?? '0'.repeat(2 * width * count)
    if (saved[name] !== undefined && !processor.has(feature))
      throw new X86CpuError(
        'ERR_SAVED_STATE',
        `saved ${name}: the CPU model '${processor.model.name}' has no ${feature.toLowerCase()}`,
      )
    for (let i = 0; i < count; i++) {
      // The last takes the rest, so that digits that are too many are refused.
      const end = i === count - 1 ? undefined : 2 * width * (i + 1)
      spreadBytes(s, offset + stride * i, width, digits.slice(2 * width * i, end))
    }
  }
}

export const extension: ProcessorExtension = {
  highestLeaf: (processor) =>
    LEAVES.reduce((highest, [feature, leaf]) => (processor.has(feature) ? Math.max(highest, leaf) : highest), 0),
  components,
  cpuid,
  msr,
  save,
  restore,
}
