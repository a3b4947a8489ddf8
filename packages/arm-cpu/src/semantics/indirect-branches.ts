import { OP_UNIT, R_LINK, R_OP, TLB_EXECUTE, TLB_FLAGS, TLB_INDEX_MASK, TLB_KEY_SHIFT } from '@retrap/engine'
import { PAGE_BYTES } from '@retrap/memory'
import { I32, select, type FunctionBuilder, type I64, type Label } from '@retrap/wasm-emitter'
import type { ArmContext } from './context.ts'
import { BTYPE_GUARDED_JUMP, BTYPE_JUMP, KEY_GUARDED } from '../system/branch-types.ts'
import { PSTATE_EL_SHIFT } from '../state/pstate.ts'
import { R_SMALL, R_WORD } from '../state/record.ts'
import { S_BRANCH, S_GUARDS, S_PSTATE, S_RETURN } from '../state/state-layout.ts'
import { SCTLR_BT_SHIFT } from '../state/controls.ts'
import { S_SCTLR_EL1 } from '../state/places.ts'

/** The mask of a hint, and its bits. */
const HINT_MASK = 0xffff_f01f | 0
const HINT = 0xd503_201f | 0

/** Returns the TLB's execute entry for an address; leaves if the entry is of another page. */
function entryOf(f: FunctionBuilder, tlb: I32, address: I64, unknown: Label): I32 {
  const entry = f.let(tlb.add(address.toI32().shrU(8).and(TLB_INDEX_MASK)))
  f.brIf(f.loadExpression('i64.load', entry, TLB_EXECUTE).ne(address.and(BigInt(-PAGE_BYTES))), unknown)
  return entry
}

const isGuarded = (f: FunctionBuilder, entry: I32): I32 =>
  f
    .loadExpression('i32.load', entry, TLB_EXECUTE + TLB_FLAGS)
    .shrU(TLB_KEY_SHIFT)
    .and(KEY_GUARDED)

/**
 * Returns PSTATE.BTYPE after a permitted branch; 0 for a branch that is not permitted, or that needs a look at the guest's
 * tables.
 *
 * @param type - {@link branchTypeOf}
 * @param from - page of the branch
 */
function landing(f: FunctionBuilder, state: I32, tlb: I32, target: I64, type: I32, from: I64): I32 {
  const found = f.local('i32')
  f.set(found, type)
  f.block((unknown) => {
    f.if(type.eq(BTYPE_GUARDED_JUMP), () => {
      const own = entryOf(f, tlb, from, unknown)
      f.set(found, select(isGuarded(f, own), type, I32.of(BTYPE_JUMP)))
    })
    const entry = entryOf(f, tlb, target, unknown)
    f.if(isGuarded(f, entry).eqz(), () => f.return(found.get))
    const slots = f.loadExpression('i32.load', entry, TLB_EXECUTE + 8)
    const record = f.local('i32')
    f.set(
      record,
      f.loadExpression(
        'i32.load',
        slots.add(
          target
            .toI32()
            .and(PAGE_BYTES - 1)
            .shl(2),
        ),
      ),
    )
    f.brIf(record.get.eqz(), unknown)
    f.if(f.loadExpression('i32.load16_u', record.get, R_OP).eq(OP_UNIT), () =>
      f.set(record, f.loadExpression('i32.load', record.get, R_LINK)),
    )
    f.brIf(f.loadExpression('i32.load', record.get, R_WORD).and(HINT_MASK).ne(HINT), unknown)
    const lands = f.let(f.loadExpression('i32.load8_u', record.get, R_SMALL))
    f.if(lands.shrU(found.get).and(1), () => f.return(found.get))
    f.brIf(found.get.ne(BTYPE_GUARDED_JUMP).or(lands.and(1).eqz()), unknown)
    const level = f.loadExpression('i32.load', state, S_PSTATE).shrU(PSTATE_EL_SHIFT).and(1)
    const isStrict = f
      .loadExpression('i32.load', state, S_SCTLR_EL1 + 4)
      .shrU(level.add(SCTLR_BT_SHIFT))
      .and(1)
    f.brIf(isStrict, unknown)
    f.return(found.get)
  })
  return I32.of(0)
}

/**
 * Branches to a linear address as BR and BLR do. PSTATE.BTYPE is not written: S_BRANCH has it, as long as no other instruction
 * has retired. Where a guarded page may be concerned and it is not known that the branch may be made, TypeScript makes it.
 *
 * @param links - X30 gets the address of the next instruction
 */
export function branchIndirect(c: ArmContext, target: I64, links: boolean): void {
  const { f, library, state, tlb } = c
  const type = c.small
  f.store('i32.store', state, c.remaining(), S_BRANCH)
  // Without a guarded page no page of a branch is one.
  f.store('i32.store', state, type.and(type.and(1).shl(1).xor(-1)), S_BRANCH + 4)
  f.if(f.loadExpression('i32.load', state, S_GUARDS), () => {
    const callee = library.function('landing', ['i32', 'i32', 'i64', 'i32', 'i64'], 'i32', landing)
    const found = f.call(callee, state, tlb, target, type, c.address())
    f.if(found.eqz(), () => {
      f.store('i64.store', state, target, S_RETURN)
      c.useHandler()
    })
    f.store('i32.store', state, found, S_BRANCH + 4)
  })
  if (links) c.writeLink(c.next())
  c.jump(target)
}
