import { I32, type I64, type Label } from '@retrap/wasm-emitter'
import { PAGE_BYTES } from '@retrap/memory'
import { poison } from '../loop-state.ts'
import { UNIT_RESUME, UNIT_SLOW } from '../status.ts'
import type { ExitReason } from './exit-reasons.ts'
import type { InstructionExits, UnitSemantics } from './instruction-set.ts'
import type { MissAction } from './memory-sites.ts'
import { switchPosition } from './position-switch.ts'
import { fallsThrough, type Region, type RegionBlock, type RegionInstruction } from './region.ts'
import { UnitCalls } from './unit-calls.ts'
import { UnitExits } from './unit-exits.ts'
import { UNIT_ENTERED } from './unit.ts'
import type { UnitFrame } from './unit-frame.ts'

/** Translates a region into the body of one function: its blocks, loops and edges. */
export class RegionTranslator<Form> {
  readonly #frame: UnitFrame<Form>
  readonly #exits: UnitExits<Form>
  readonly #calls: UnitCalls<Form>
  readonly #semantics: UnitSemantics<Form>
  readonly #labels: (Label | undefined)[] = []

  /** @param frame - frame of a function without code */
  constructor(frame: UnitFrame<Form>) {
    this.#frame = frame
    this.#semantics = frame.semantics
    this.#exits = new UnitExits(frame)
    this.#calls = new UnitCalls(frame, this.#exits)
  }

  get #region(): Region<Form> {
    return this.#frame.region
  }

  /** Builds the region's code. @returns bytes of the code without the entry, which the notes count in; 0 for an empty region */
  build(): number {
    const { f } = this.#frame
    this.#exits.build(() => {
      this.#emitTree(0)
      this.#note(undefined, false)
    })
    let bytes = 0
    if (this.#frame.parts.notes !== undefined) f.later(() => (bytes = f.codeBytes))
    f.prepend(() => this.#emitEntry())
    return bytes
  }

  /** Notes that the code of an instruction begins, or goes on; undefined: the unit's own. */
  #note(insn: RegionInstruction<Form> | undefined, goesOn: boolean): void {
    const { f, parts } = this.#frame
    const { notes } = parts
    // Deferred code comes before the position advances.
    if (notes !== undefined) f.later(() => notes.note(insn?.at, f.codeBytes, goesOn))
  }

  #emitEntry(): void {
    const { f, state, layout } = this.#frame
    const first = this.#region.blocks[0]!.instructions[0]!
    this.#frame.begin()
    const conditions: I32[] = []
    this.#semantics.checkAssumptions((condition) => conditions.push(condition))
    if (conditions.length > 0) {
      f.structuredBlock((goesOn) => {
        // All conditions share one exit: it is hardly ever taken, and so costs few cache lines of the host.
        f.structuredBlock((differs) => {
          for (const condition of conditions) f.brIf(condition, differs)
          f.br(goesOn)
        })
        f.store('i32.store', state, this.#frame.followRef(I32.of(this.#frame.firstRecordRef(first))), layout.record)
        f.store('i32.store', state, this.#frame.slotsOf(first.page), layout.slots)
        this.#exits.countEntry()
        f.return(UNIT_RESUME)
      })
    }
    f.store('i32.store8', this.#frame.unitRecord, I32.of(1), UNIT_ENTERED)
    this.#frame.load()
    this.#semantics.load()
  }

  // ---------------------------------------------------------------- structure

  /** Emits a block and all blocks that it dominates. */
  #emitTree(block: number): void {
    const { graph } = this.#region
    const followers = graph.children[block]!.filter((child) => graph.isMerge[child])
    const inner = (): void => this.#emitNested(block, followers.toReversed())
    if (!graph.isLoop[block]) {
      inner()
      return
    }
    this.#note(undefined, false)
    this.#semantics.beginLoop(block, () => this.#leaveAt(block))
    this.#frame.charge()
    this.#frame.f.structuredLoop((label) => {
      this.#labels[block] = label
      inner()
    })
  }

  /** Block `block` within Wasm blocks that `followers`, the last one outermost, come after. */
  #emitNested(block: number, followers: readonly number[]): void {
    const [follower, ...rest] = followers
    if (follower === undefined) {
      this.#emitBlock(this.#region.blocks[block]!, block)
      return
    }
    this.#frame.f.structuredBlock((label) => {
      this.#labels[follower] = label
      this.#emitNested(block, rest)
    })
    this.#note(undefined, false)
    this.#semantics.merge(follower)
    this.#frame.pending = 0
    this.#emitTree(follower)
  }

  /** Control continues at a block of the region. */
  #goTo(from: number, to: number): void {
    const { graph } = this.#region
    const { pending } = this.#frame
    this.#semantics.aside(() => {
      if (graph.isBack(from, to) || graph.isMerge[to]) {
        this.#semantics.meet(to, () => this.#leaveAt(to))
        this.#frame.charge()
        this.#frame.f.br(this.#labels[to]!)
      } else this.#emitTree(to)
    })
    this.#frame.pending = pending
  }

  /** Control goes from an instruction that has retired to a position that is not in the region. */
  #leaveFor(insn: RegionInstruction<Form>, at: number): void {
    this.#exits.jump('target', insn, this.#frame.pending, this.#frame.linear(at))
  }

  /** The interpreter continues with a block. */
  #leaveAt(block: number): void {
    const insn = this.#region.blocks[block]!.instructions[0]!
    this.#exits.resume('guard', insn, this.#frame.firstRecordRef(insn), this.#frame.pending)
  }

  // ---------------------------------------------------------------- instructions

  #emitBlock(block: RegionBlock<Form>, number: number): void {
    const { instructions } = block
    const frame = this.#frame
    for (const [i, insn] of instructions.entries()) {
      this.#note(insn, false)
      if (insn.flow === 'leave') {
        // The interpreter checks the second page of an instruction in two pages.
        this.#exits.resume('system', insn, frame.firstRecordRef(insn), frame.pending)
        return
      }
      frame.f.scope(() => this.#emitInstruction(insn, block, number))
      if (!fallsThrough(insn.flow)) return
      frame.pending++
      const last = i === instructions.length - 1
      if ((insn.next & -PAGE_BYTES) !== insn.page.delta) {
        const next = last ? block.next : undefined
        if (last && next === undefined) {
          this.#leaveFor(insn, insn.next)
          return
        }
        const { page } = last ? this.#region.blocks[next!]!.instructions[0]! : instructions[i + 1]!
        this.#exits.ifTurnEnds(insn, insn.next)
        this.#exits.ifPageIsElsewhere(insn, page, insn.next)
      }
      if (!last) continue
      if (block.next === undefined) {
        this.#leaveFor(insn, insn.next)
      } else if (!this.#region.graph.isIrreducible(number, block.next)) this.#goTo(number, block.next)
      else this.#exits.resume('target', insn, frame.nextRecordRef(insn), frame.pending)
    }
  }

  #emitInstruction(insn: RegionInstruction<Form>, block: RegionBlock<Form>, number: number): void {
    const { f, state, layout } = this.#frame
    if (layout.poisoned !== undefined) poison(f, state, layout.poisoned)
    if (insn.crosses) this.#exits.ifSecondPageIsElsewhere(insn)
    if (insn.flow === 'host') this.#calls.host(insn)
    else if (insn.flow === 'far') this.#calls.far(insn)
    else if (insn.flow === 'repeat') this.#calls.repeat(insn)
    else if (insn.isCalled) this.#calls.form(insn)
    else this.#emitInPlace(insn, this.#exitsOf(insn, block, number))
  }

  #emitInPlace(insn: RegionInstruction<Form>, exits: InstructionExits): void {
    this.#semantics.emit(insn, exits)
    // An access that was made by a call may have written this region's code.
    if (exits.onMiss === 'call') this.#exits.ifGivenUp(insn, this.#frame.nextRecordRef(insn), this.#frame.pending + 1)
  }

  #exitsOf(insn: RegionInstruction<Form>, block: RegionBlock<Form>, number: number): InstructionExits {
    return exitsOf(this.#frame, this.#exits, insn, (target) => this.#takeBranch(insn, block, number, target))
  }

  /** Emits the branch after the last instruction of its block has retired. */
  #takeBranch(insn: RegionInstruction<Form>, block: RegionBlock<Form>, number: number, target: I64 | undefined): void {
    const frame = this.#frame
    const { pending } = frame
    frame.pending = pending + 1
    if (insn.target === undefined) this.#takeComputed(insn, block, number, target!)
    else this.#takeKnown(insn, block, number, insn.target)
    frame.pending = pending
    this.#note(insn, true)
  }

  #takeKnown(insn: RegionInstruction<Form>, { target: to }: RegionBlock<Form>, number: number, target: number): void {
    const { graph, blocks } = this.#region
    if (to === undefined || graph.isIrreducible(number, to)) {
      this.#leaveFor(insn, target)
      return
    }
    const { page } = blocks[to]!.instructions[0]!
    // No forward branch within a page ends a turn.
    if (page !== insn.page || target <= insn.at) this.#exits.ifTurnEnds(insn, target)
    if (page !== insn.page) this.#exits.ifPageIsElsewhere(insn, page, target)
    this.#goTo(number, to)
  }

  #takeComputed(insn: RegionInstruction<Form>, block: RegionBlock<Form>, number: number, target: I64): void {
    const { f, base } = this.#frame
    const { graph, blocks } = this.#region
    const linear = f.let(target)
    const targets = block.computed.filter((to) => !graph.isIrreducible(number, to))
    if (targets.length > 0) {
      this.#exits.ifTurnEnds(insn, linear)
      const firsts = targets.map((to) => blocks[to]!.instructions[0]!)
      const position = f.let(linear.sub(base.get))
      const positions = firsts.map(({ at }) => at)
      switchPosition(f, position, positions, (i) => {
        const { page, at } = firsts[i]!
        if (page !== insn.page) this.#exits.ifPageIsElsewhere(insn, page, at)
        this.#goTo(number, targets[i]!)
      })
    }
    this.#exits.computed(insn, this.#frame.pending, linear)
  }
}

/**
 * The exits of an instruction of a unit.
 *
 * @param take - emits the continuation after the last instruction of a block has branched
 */
function exitsOf<Form>(
  frame: UnitFrame<Form>,
  exits: UnitExits<Form>,
  insn: RegionInstruction<Form>,
  take: (target: I64 | undefined) => void,
): InstructionExits {
  const onMiss: MissAction = insn.onMiss === 'call' && insn.flow !== 'next' ? 'leave' : insn.onMiss
  const interpret = (outcome: number, why: ExitReason): void => {
    const record = frame.firstRecordRef(insn)
    exits.leave({ why, outcome, insn, record, retired: frame.pending })
  }
  return {
    onMiss,
    pageBase: () => frame.linear(insn.page.delta),
    remaining: () => frame.budget.get.sub(frame.pending + 1),
    interpret: () => interpret(UNIT_RESUME, 'rare'),
    miss: () => (onMiss === 'leave' ? interpret(UNIT_RESUME, 'device') : interpret(UNIT_SLOW, 'miss')),
    fail: (status) => exits.fail(status, insn, frame.pending),
    leaveIfGivenUp: () => exits.ifGivenUp(insn, frame.firstRecordRef(insn), frame.pending),
    retire: () => exits.resume('guard', insn, frame.nextRecordRef(insn), frame.pending + 1),
    branch: () => take(undefined),
    jump: take,
  }
}
