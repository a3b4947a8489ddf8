import type { PagingCpu } from '@retrap/paging'
import { decoderOptions, type CodeInfo } from '@retrap/x86-decoder'
import { decoderFeatures, isImplemented, CPU_FEATURES, type CpuidWord } from './feature-table.ts'
import * as architecture from '../state/architecture.ts'
import { FLAGS_DEFINED, FLAG_VIF, FLAG_VIP } from '../state/state-layout.ts'
import { COMPONENTS, type RegisterBytes, type StateComponent } from '../state/state-components.ts'
import { checkModel, type CpuModel } from './cpu-model.ts'
import { absentMsrs } from './msr-table.ts'

type BitsOf = readonly (readonly [feature: string, bits: number])[]

/** Bits of CR4 that come with a feature (SDM vol. 3A, "Control Registers"). */
const CR4_BITS: BitsOf = [
  ['VME', architecture.CR4_VME | architecture.CR4_PVI],
  ['TSC', architecture.CR4_TSD],
  ['DE', architecture.CR4_DE],
  ['PSE', architecture.CR4_PSE],
  ['PAE', architecture.CR4_PAE],
  ['MCE', architecture.CR4_MCE],
  ['PGE', architecture.CR4_PGE],
  ['RDPMC', architecture.CR4_PCE],
  ['FXSR', architecture.CR4_OSFXSR],
  ['SSE', architecture.CR4_OSXMMEXCPT],
  ['UMIP', architecture.CR4_UMIP],
  ['LA57', architecture.CR4_LA57],
  ['FSGSBASE', architecture.CR4_FSGSBASE],
  ['PCID', architecture.CR4_PCIDE],
  ['XSAVE', architecture.CR4_OSXSAVE],
  ['SMEP', architecture.CR4_SMEP],
  ['SMAP', architecture.CR4_SMAP],
  ['PKU', architecture.CR4_PKE],
  ['PKS', architecture.CR4_PKS],
]

/** Bits of IA32_EFER that come with a feature. */
const EFER_BITS: BitsOf = [
  ['SYSCALL', architecture.EFER_SCE],
  ['LM', architecture.EFER_LME | architecture.EFER_LMA],
  ['NX', architecture.EFER_NXE],
]

/** State components of XSAVE that come with a feature. */
const XCR0_BITS: BitsOf = [
  ['FPU', architecture.XCR0_X87],
  ['SSE', architecture.XCR0_SSE],
  ['AVX', architecture.XCR0_AVX],
  ['PKU', architecture.XCR0_PKRU],
  ['AVX512F', architecture.XCR0_AVX512],
  ['AMX_TILE', architecture.XCR0_TILE],
  ['APX_F', architecture.XCR0_APX],
]

/** A model-specific register that is a field of the state, 8 bytes. */
export interface MsrField {
  /** State offset. */
  readonly field: number
  /** Whether a value may be written; otherwise that is #GP(0). */
  takes(processor: Processor, lo: number, hi: number): boolean
}

/** The facts of processors with extended features. They come with the features' instructions. */
export interface ProcessorExtension {
  /** Highest basic leaf of CPUID that the features need. */
  highestLeaf(processor: Processor): number
  /** State components of XSAVE, in the order of their bits. */
  components(processor: Processor): readonly StateComponent[]
  /** Adds to the feature flags of a CPUID leaf. */
  cpuid(processor: Processor, leaf: number, subleaf: number, into: Uint32Array): void
  /** Returns a model-specific register of the features, where the processor has them. */
  msr(processor: Processor, index: number): MsrField | undefined
  /** Returns the registers of the features, by name: `SavedCpu.extended`. */
  save(processor: Processor, s: RegisterBytes): Readonly<Record<string, string>> | undefined
  /** Puts back the result of `save`. @throws X86CpuError `ERR_SAVED_STATE` */
  restore(processor: Processor, s: RegisterBytes, saved: Readonly<Record<string, string>>): void
}

/** Feature flags of AMD's leaf 8000_0001H EDX that repeat those of leaf 1 (AMD APM vol. 3, appendix E). */
const AMD_REPEATED = 0x0183_f3ff
/** AMD's leaf 8000_0001H EDX bit 22: SSE's instructions on MMX registers. */
const AMD_MMXEXT = 1 << 22

/** Whether the sub-leaves of a leaf differ. In all other leaves ECX does not matter. */
const hasSubleaves = (leaf: number): boolean =>
  CPU_FEATURES.some(({ cpuid }) => cpuid !== undefined && cpuid.word.subleaf > 0 && cpuid.word.leaf === leaf)

/** Feature flags of a leaf. */
interface LeafFlags {
  /** Its sub-leaves differ; otherwise there is one, whatever ECX says. */
  readonly differs: boolean
  /** EAX to EDX of each sub-leaf; holes are zeros. */
  readonly words: Uint32Array[]
}

/** The first extended leaf. */
const EXTENDED = 0x8000_0000

const NO_FLAGS = new Uint32Array(4)

/** Four characters of a text as CPUID reports them, the first in bits 7:0. */
export function asciiWord(text: string, at: number): number {
  let word = 0
  for (let i = 0; i < 4; i++) word |= (text.charCodeAt(at + i) || 0) << (8 * i)
  return word
}

/**
 * A processor model, digested: what instructions look at while they run is a number or a flag here.
 */
export class Processor {
  /** The model. */
  readonly model: CpuModel
  /** AMD's rules hold; otherwise Intel's. */
  readonly amd: boolean
  /** The facts that the page walker needs. */
  readonly paging: PagingCpu
  /** Option bits for `decodeInto` of `@retrap/x86-decoder`: what bytes mean to it. */
  readonly decoderOptions: number
  /** @internal Bits of CR4 that exist. */
  readonly cr4: number
  /** @internal Bits of IA32_EFER that exist. */
  readonly efer: number
  /** @internal Bits of RFLAGS that exist. */
  readonly rflags: number
  /** @internal Bits of XCR0 that exist; 0 without XSAVE. */
  readonly xcr0: number
  /** Bits of linear addresses: 32, 48, or 57 with five-level paging. */
  readonly linearAddressBits: 32 | 48 | 57
  /** @internal By how much a shift left and back right leaves the largest canonical address alone. */
  readonly canonicalShift: number
  /** @internal Bits 63:32 of an entry or of CR3 that lie above the physical address. */
  readonly abovePhysicalHi: number
  /** @internal A null selector clears the base of FS and GS. */
  readonly nullClearsBase: boolean
  /** @internal FXSAVE and XSAVE save the x87 error pointers; otherwise zeros, unless an exception is pending. */
  readonly savesErrorPointers: boolean
  /** @internal FXRSTOR and XRSTOR restore them; otherwise only if the image has a pending exception. */
  readonly restoresErrorPointers: boolean
  /** @internal Highest basic leaf of CPUID: at least that of a feature. */
  highestLeaf: number
  /** @internal State components of XSAVE beyond the legacy region, in the order of their bits. */
  components: readonly StateComponent[] = COMPONENTS
  /** @internal Undefined where no feature is extended. */
  extension: ProcessorExtension | undefined = undefined
  /** @internal Highest extended leaf of CPUID: at least that of a feature. */
  readonly highestExtendedLeaf: number
  /** @internal XRSTOR takes the compacted form. */
  readonly restoresCompacted: boolean
  /** @internal XGETBV takes ECX = 1. */
  readonly tellsInUse: boolean
  readonly #decoderFeatures: ReadonlySet<string>
  readonly #absentMsrs: ReadonlySet<number>
  /** By basic leaf; and by extended leaf, less {@link EXTENDED}. */
  readonly #basic: LeafFlags[] = []
  readonly #extended: LeafFlags[] = []
  /** @internal The vendor's name in CPUID's registers EBX, EDX and ECX, in this order. */
  readonly vendorWords: readonly [ebx: number, edx: number, ecx: number]

  /** @throws X86CpuError `ERR_CPU_MODEL` for a model that cannot be */
  constructor(model: CpuModel) {
    checkModel(model)
    this.model = model
    const bits = (table: BitsOf): number =>
      table.reduce((all, [feature, value]) => (model.features.has(feature) ? all | value : all), 0)
    this.amd = model.vendor === 'AuthenticAMD'
    this.vendorWords = [asciiWord(model.vendor, 0), asciiWord(model.vendor, 4), asciiWord(model.vendor, 8)]
    this.paging = {
      maxPhysicalBits: model.physicalAddressBits,
      pages1G: this.has('PDPE1GB'),
      pse36: this.has('PSE36'),
      amd: this.amd,
    }
    this.#decoderFeatures = decoderFeatures(model.features)
    this.decoderOptions = decoderOptions({ vendor: this.amd ? 'amd' : 'intel', features: this.#decoderFeatures })
    this.cr4 = bits(CR4_BITS)
    this.efer = bits(EFER_BITS)
    // VIF and VIP came with the virtual-8086 mode extensions (SDM vol. 3A, "System Flags and Fields in the EFLAGS Register").
    this.rflags = this.has('VME') ? FLAGS_DEFINED : FLAGS_DEFINED & ~(FLAG_VIF | FLAG_VIP)
    this.xcr0 = this.has('XSAVE') ? bits(XCR0_BITS) : 0
    this.linearAddressBits = this.has('LA57') ? 57 : this.has('LM') ? 48 : 32
    this.canonicalShift = this.has('LA57') ? 7 : 16
    // A shift by 32 would be one by 0, but 52 − 32 is the most.
    this.abovePhysicalHi = ~((1 << (model.physicalAddressBits - 32)) - 1) >>> 0
    this.nullClearsBase = !this.amd || this.has('NULL_BASE')
    this.savesErrorPointers = !this.amd
    this.restoresErrorPointers = !this.amd || this.has('XSAVEERPTR')
    this.restoresCompacted = this.has('XSAVEC')
    this.tellsInUse = this.has('XGETBV1')
    this.#absentMsrs = absentMsrs(model)
    let highest = model.highestLeaf
    let highestExtended = model.highestExtendedLeaf
    for (const feature of CPU_FEATURES) {
      if (feature.cpuid === undefined || !model.features.has(feature.name)) continue
      const { word, bit } = feature.cpuid
      this.#setBits(word, 1 << bit)
      if (word.leaf < EXTENDED) highest = Math.max(highest, word.leaf)
      else highestExtended = Math.max(highestExtended, word.leaf)
    }
    if (this.has('XSAVE')) highest = Math.max(highest, 0xd)
    this.highestLeaf = highest
    this.highestExtendedLeaf = highestExtended
    if (this.amd) this.#repeatForAmd()
  }

  /** @internal Adds what belongs to extended features. */
  extend(extension: ProcessorExtension): void {
    this.extension = extension
    this.highestLeaf = Math.max(this.highestLeaf, extension.highestLeaf(this))
    this.components = extension.components(this)
  }

  #setBits({ leaf, subleaf, register }: CpuidWord, value: number): void {
    const leaves = leaf < EXTENDED ? this.#basic : this.#extended
    const flags = (leaves[leaf % EXTENDED] ??= { differs: hasSubleaves(leaf), words: [] })
    const words = (flags.words[flags.differs ? subleaf : 0] ??= new Uint32Array(4))
    words[register]! |= value
  }

  #repeatForAmd(): void {
    const word = { leaf: 0x8000_0001, subleaf: 0, register: 3 }
    this.#setBits(word, this.flags(1, 0, 3) & AMD_REPEATED)
    if (this.has('SSE')) this.#setBits(word, AMD_MMXEXT)
  }

  /** Whether the processor has a feature of the table. */
  has(feature: string): boolean {
    return this.model.features.has(feature)
  }

  /**
   * The CPUID leaf whose values a leaf answers with; −1 for zeros.
   *
   * @param highest - highest basic leaf; the model's unless given
   */
  answeringLeaf(leaf: number, highest: number = this.highestLeaf): number {
    if (leaf <= highest) return leaf
    if (leaf >= EXTENDED && leaf <= this.highestExtendedLeaf) return leaf
    if (leaf >= 0x4000_0000 && leaf < EXTENDED) return -1
    // Intel's processors answer a leaf that is not there with the highest basic one, AMD's with zeros.
    return this.amd ? -1 : highest
  }

  /** Whether the processor executes an instruction, in 64-bit mode (`long`) or outside; otherwise that is #UD. */
  executes(info: CodeInfo, long: boolean): boolean {
    // In 64-bit mode these two are a feature of their own.
    if (long && (info.mnemonic === 'LAHF' || info.mnemonic === 'SAHF') && !this.has('LAHF_LM')) return false
    return isImplemented(info, this.#decoderFeatures)
  }

  /** @internal Whether a model-specific register is none of this model's. */
  lacksMsr(index: number): boolean {
    return this.#absentMsrs.size > 0 && this.#absentMsrs.has(index)
  }

  /** The feature flags in a register of a CPUID leaf: 0 EAX to 3 EDX. The leaf may add other values to them. */
  flags(leaf: number, subleaf: number, register: number): number {
    return this.featureWords(leaf, subleaf)[register] ?? 0
  }

  /** @internal The last sub-leaf of a basic leaf that has feature flags. */
  lastSubleaf(leaf: number): number {
    return Math.max(0, (this.#basic[leaf]?.words.length ?? 0) - 1)
  }

  /** @internal The feature flags in EAX, EBX, ECX and EDX of a CPUID leaf. Not to be changed. */
  featureWords(leaf: number, subleaf: number): Uint32Array {
    const flags = leaf < EXTENDED ? this.#basic[leaf] : this.#extended[leaf - EXTENDED]
    if (flags === undefined) return NO_FLAGS
    return flags.words[flags.differs ? subleaf : 0] ?? NO_FLAGS
  }
}
