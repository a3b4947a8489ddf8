import * as S from './state-layout.ts'
import { XCR0_AVX, XCR0_PKRU } from './architecture.ts'

/** The registers of a vCPU, as far as components look at them. */
export interface RegisterBytes {
  /** The state area. */
  readonly u8: Uint8Array
  /** 64-bit mode. */
  readonly mode64: boolean
  /** Reads a word of the state. */
  get(offset: number): number
}

/** A state component beyond the legacy region: where it lies in an XSAVE area, and what it consists of. */
export interface StateComponent {
  /** Bit in XCR0. */
  readonly bit: number
  /** Number of the bit, which is its sub-leaf of CPUID leaf DH. */
  readonly number: number
  /** Bytes. */
  readonly size: number
  /** Offset in the standard form. */
  readonly standard: number
  /** ECX of the sub-leaf: `COMPONENT_*`. */
  readonly flags: number
  /** Bytes that this mode transfers: outside 64-bit mode some registers are not there. */
  transferred(s: RegisterBytes): number
  /** Whether a register that this mode has is not in its initial configuration. */
  isInUse(s: RegisterBytes): boolean
  /** Copies the registers into an area. */
  take(s: RegisterBytes, area: Uint8Array, at: number): void
  /** Loads the registers from an area. Absent: PKRU, whose change drops translations. */
  give?(s: RegisterBytes, area: Uint8Array, at: number): void
}

/** Where the legacy region and the header of an XSAVE area end. */
export const A_EXTENDED = 576

/** Flags of a component: it starts at a multiple of 64 bytes in the compacted form; IA32_XFD can disable the component. */
export const COMPONENT_ALIGNED = 2
export const COMPONENT_XFD = 4

/** Bytes from a vector register to the next. */
export const VECTOR_STRIDE = 64

/** How many vector registers below the sixteenth there are in this mode. */
export const vectorCount = ({ mode64 }: RegisterBytes): number => (mode64 ? 16 : 8)

/** Registers in the state: `count` of them, of `width` bytes, every `stride` bytes. */
export interface Registers {
  /** State offset of the first. */
  readonly offset: number
  /** Bytes of each. */
  readonly width: number
  /** Bytes from one to the next. */
  readonly stride: number
  /** How many there are in this mode. */
  readonly count: (s: RegisterBytes) => number
}

/** The transfers of a component that consists of registers without side effects. */
export function transfers({
  offset,
  width,
  stride,
  count,
}: Registers): Pick<Required<StateComponent>, 'transferred' | 'isInUse' | 'take' | 'give'> {
  return {
    transferred: (s) => width * count(s),
    isInUse: (s) => {
      for (let at = offset, end = offset + stride * count(s); at < end; at += stride)
        for (let i = 0; i < width; i += 4) if (s.get(at + i) !== 0) return true
      return false
    },
    take: (s, area, at) => {
      for (let i = 0; i < count(s); i++) {
        const from = offset + stride * i
        area.set(s.u8.subarray(from, from + width), at + width * i)
      }
    },
    give: (s, area, at) => {
      for (let i = 0; i < count(s); i++)
        s.u8.set(area.subarray(at + width * i, at + width * (i + 1)), offset + stride * i)
    },
  }
}

/** 16 bytes of each vector register: the lower ones are SSE state. */
const quarters = (half: number): Registers => ({
  offset: S.S_XMM + half,
  width: 16,
  stride: VECTOR_STRIDE,
  count: vectorCount,
})

/** The XMM registers, which lie in the legacy region. */
export const SSE: ReturnType<typeof transfers> = transfers(quarters(0))

/** Upper halves of the YMM registers. */
export const AVX: StateComponent = {
  bit: XCR0_AVX,
  number: 2,
  size: 256,
  standard: A_EXTENDED,
  flags: 0,
  ...transfers(quarters(16)),
}
/** PKRU, in 8 bytes. */
export const PKRU: StateComponent = {
  bit: XCR0_PKRU,
  number: 9,
  size: 8,
  standard: A_EXTENDED + 256,
  flags: 0,
  transferred: () => 8,
  isInUse: (s) => s.get(S.S_PKRU) !== 0,
  take: (s, area, at) => {
    area.fill(0, at, at + 8)
    area.set(s.u8.subarray(S.S_PKRU, S.S_PKRU + 4), at)
  },
}

/** The components of processors without extended features, in the order of their bits. */
export const COMPONENTS: readonly StateComponent[] = [AVX, PKRU]

/** Bytes of an XSAVE area in the standard form that has the components of `bits`. */
export function standardSize(components: readonly StateComponent[], bits: number): number {
  return Math.max(
    A_EXTENDED,
    ...components.map(({ bit, size, standard }) => ((bits & bit) === 0 ? 0 : standard + size)),
  )
}

/** Where a component starts in the compacted form that would be behind `end`. */
const startOf = ({ flags }: StateComponent, end: number): number =>
  (flags & COMPONENT_ALIGNED) === 0 ? end : (end + 63) & ~63

/** Bytes of an XSAVE area in the compacted form that has the components of `bits`. */
export function compactedSize(components: readonly StateComponent[], bits: number): number {
  let end = A_EXTENDED
  for (const each of components) if ((bits & each.bit) !== 0) end = startOf(each, end) + each.size
  return end
}

/** The components that IA32_XFD can disable. */
export function disableable(components: readonly StateComponent[]): number {
  return components.reduce((all, { bit, flags }) => ((flags & COMPONENT_XFD) === 0 ? all : all | bit), 0)
}

/** Offset of a component in the compacted form: behind those of `bits` that come before it. */
export function compactedOffset(
  components: readonly StateComponent[],
  component: StateComponent,
  bits: number,
): number {
  return startOf(component, compactedSize(components, bits & (component.bit - 1)))
}
