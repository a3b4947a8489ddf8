import { requireOptions, requireText, requireWhole, AssemblerError } from './checks.ts'
import { asWhole, Label } from './labels.ts'
import { ByteStore, layOut, type Binding, type Layout, type SectionPlan } from './layout.ts'
import { LaidOutProgram, type Program, type Relocation } from './program.ts'

/** The sections and labels of a program that is being built. */
export class ProgramPlan {
  /** The section that is being added to. */
  current: SectionPlan
  readonly #sections: SectionPlan[] = []
  readonly #bindings = new Map<Label, Binding>()
  readonly #names = new Set<string>()
  #anonymous = 0

  /** @param address - address of the first section, `text` */
  constructor(address: number | bigint) {
    this.current = sectionPlan('text', { address: asWhole(address), load: undefined, align: 16 })
    this.#sections.push(this.current)
  }

  /**
   * Continues in a section, which is made if there is none of that name.
   *
   * @throws AssemblerError `ERR_LAYOUT` if it exists and the options ask for something else than before
   */
  section(name: string, options: SectionOptions): void {
    requireText(name, 'the name of a section')
    requireOptions(options, 'the options of a section')
    if (options.align !== undefined) requireWhole(options.align, 'the alignment of a section', 1)
    const address = options.address === undefined ? undefined : asWhole(options.address)
    const load = options.load === undefined || options.load === 'none' ? options.load : asWhole(options.load)
    const existing = this.#sections.find((section) => section.name === name)
    if (existing === undefined) {
      this.current = sectionPlan(name, { address, load, align: options.align ?? 16 })
      this.#sections.push(this.current)
      return
    }
    if (
      (address !== undefined && existing.address !== address) ||
      (load !== undefined && existing.load !== load) ||
      (options.align !== undefined && existing.align !== options.align)
    ) {
      throw new AssemblerError('ERR_LAYOUT', `section ${name} was placed elsewhere when it was made`)
    }
    this.current = existing
  }

  /**
   * Makes a label to be bound later.
   *
   * @param name - unique; left out, one is made up
   * @throws AssemblerError `ERR_LABEL` for a name that is taken
   */
  label(name?: string): Label {
    if (name !== undefined) requireText(name, 'the name of a label')
    let chosen = name ?? ''
    while (chosen === '' || (name === undefined && this.#names.has(chosen))) chosen = `L${++this.#anonymous}`
    if (this.#names.has(chosen)) {
      throw new AssemblerError('ERR_LABEL', `there is a label ${chosen} already`)
    }
    this.#names.add(chosen)
    return new Label(chosen)
  }

  /** Puts a label in front of the next instruction or data. @throws AssemblerError `ERR_LABEL` if it has a place already */
  bind(label: Label): void {
    if (!(label instanceof Label)) throw new AssemblerError('ERR_LABEL', 'what is bound must be a label')
    if (this.#bindings.has(label)) {
      throw new AssemblerError('ERR_LABEL', `label ${label.name} is bound twice`)
    }
    this.#bindings.set(label, { section: this.current, fragment: this.current.fragments.length })
  }

  /** Chooses branch lengths, places the sections and fills in the labels. */
  layOut(): Program {
    const layout = layOut(this.#sections, this.#bindings)
    const symbols = new Map<string, bigint>()
    for (const label of this.#bindings.keys()) symbols.set(label.name, layout.addressOf(label))
    return new LaidOutProgram(layout, symbols, relocationsOf(layout))
  }
}

function sectionPlan(name: string, place: Pick<SectionPlan, 'address' | 'load' | 'align'>): SectionPlan {
  return { name, ...place, fragments: [], settled: new ByteStore() }
}

function relocationsOf(layout: Layout): Relocation[] {
  const out: Relocation[] = []
  for (const section of layout.sections) {
    for (const [index, fragment] of section.plan.fragments.entries()) {
      const offset = section.offsets[index] ?? 0
      for (const { kind, value, size, offset: field } of section.fixupsOf(fragment)) {
        if (kind === 'relative' || typeof value === 'bigint' || !value.isAddress) continue
        out.push({ section: section.plan.name, offset: offset + field, size })
      }
    }
  }
  return out
}

/** The width of code: 16 for real mode and 16-bit segments, 32 for protected mode, 64 for long mode. */
export type CodeBits = 16 | 32 | 64

/** Options of an `Assembler`. */
export interface AssemblerOptions {
  /** Mode of the first instructions; 64 if not given. */
  readonly bits?: CodeBits
  /** Address of the first section, `text`; 0 if not given. */
  readonly address?: number | bigint
}

/** The place of a section. */
export interface SectionOptions {
  /** The address that its labels are counted from; by default it follows the section before. */
  readonly address?: number | bigint
  /**
   * Load address for `Program.flatten()`, if it differs from the run address. `'none'`: not loaded; the section only
   * names memory that the program uses.
   */
  readonly load?: number | bigint | 'none'
  /** Alignment in bytes of a section that follows another; 16 if not given. */
  readonly align?: number
}
