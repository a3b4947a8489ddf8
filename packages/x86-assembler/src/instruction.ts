import { AssemblerError } from './errors.ts'
import { encodeForm } from './encode.ts'
import type { EncodedForm, EncodeContext } from './encode.ts'
import type { Encoding } from './fixups.ts'
import type { Form } from './form.ts'
import { COMMUTATIVE, FAR_BRANCHES, formOfCode, formsOf } from './forms.ts'
import { formatOperand } from './operands.ts'
import type { Operand } from './operands.ts'
import { describeForm } from './describe.ts'

/** Prefixes that were asked for in words. */
export interface InstructionPrefixes {
  readonly lock: boolean
  readonly repeat: 0 | 0xf2 | 0xf3
  /** Operand size that is insisted on; 0: whatever is shortest. */
  readonly operandSize: 0 | 16 | 32 | 64
  /** Address size that is insisted on where no memory operand tells it; 0: the mode's. */
  readonly addressSize: 0 | 16 | 32 | 64
}

/** One instruction as the builder asks for it. Either `mnemonic` or `code` is given. */
export interface InstructionRequest {
  readonly mnemonic: string | undefined
  readonly code: number | undefined
  readonly operands: readonly Operand[]
  readonly prefixes: InstructionPrefixes
  readonly bits: 16 | 32 | 64
}

/** What became of it. `longer` stands in for `encoding` where the layout finds that a value does not fit. */
export interface AssembledInstruction {
  readonly mnemonic: string
  readonly encoding: Encoding
  readonly longer: Encoding | undefined
}

interface Candidate {
  readonly form: Form
  readonly encoded: EncodedForm
}

/**
 * Chooses the shortest form that takes the operands and encodes it.
 *
 * @throws AssemblerError with any code but `ERR_LABEL` and `ERR_LAYOUT`
 */
export function assembleInstruction(request: InstructionRequest): AssembledInstruction {
  const forms = formsFor(request)
  const candidates: Candidate[] = []
  let reason: AssemblerError | undefined
  for (const form of forms) {
    try {
      const encoded = encodeSwappable(form, request)
      if (encoded !== undefined) candidates.push({ form, encoded })
    } catch (error) {
      // Operands of the right kinds with a value that this form cannot hold. Another form may do.
      if (!(error instanceof AssemblerError)) throw error
      reason ??= error
    }
  }
  const usable = withUsualSize(candidates, forms, request)
  const [first] = usable
  if (first === undefined) throw reason ?? noForm(request, forms)
  requireOneSize(usable, request)
  const best = usable.reduce((a, b) => (isBetter(b, a) ? b : a), first)
  return {
    mnemonic: best.form.mnemonic,
    encoding: best.encoded,
    longer: best.encoded.waitingBytes === 0 ? undefined : longerThan(best, usable)?.encoded,
  }
}

function formsFor(request: InstructionRequest): readonly Form[] {
  if (request.code !== undefined) {
    const form = formOfCode(request.code)
    if (form === undefined) {
      throw new AssemblerError('ERR_NO_FORM', `there is no form number ${request.code}`)
    }
    return [form]
  }
  const mnemonic = request.mnemonic ?? ''
  // JMP and CALL with a far pointer are forms of their own in the table.
  const isFar = request.operands.some((operand) => typeof operand === 'object' && operand.type === 'far')
  const forms = formsOf(isFar ? (FAR_BRANCHES.get(mnemonic) ?? mnemonic) : mnemonic)
  if (forms.length === 0) {
    throw new AssemblerError('ERR_NO_FORM', `there is no instruction ${mnemonic}`)
  }
  return forms.filter((form) => !form.alias)
}

/** The operands as written, or, where their order has no meaning, swapped. */
function encodeSwappable(form: Form, request: InstructionRequest): EncodedForm | undefined {
  const context: EncodeContext = { bits: request.bits, ...request.prefixes }
  const direct = encodeForm(form, request.operands, context)
  if (direct !== undefined) return direct
  const [first, second] = request.operands
  if (first === undefined || second === undefined || request.operands.length !== 2) return undefined
  if (!COMMUTATIVE.has(form.mnemonic)) return undefined
  return encodeForm(form, [second, first], context)
}

/**
 * Where no operand tells the size (PUSH of an immediate, RET, branches), the mode does: the form that needs no size
 * prefix. Else `push(0x12345)` would silently push four bytes in 16-bit code.
 */
function withUsualSize(
  candidates: readonly Candidate[],
  forms: readonly Form[],
  request: InstructionRequest,
): readonly Candidate[] {
  if (request.code !== undefined || request.prefixes.operandSize !== 0) return candidates
  // imm16(5) is a size that was told.
  if (request.operands.some((operand) => typeof operand === 'object' && operand.type === 'immediate')) return candidates
  const hasUsual = forms.some((form) => form.sizing[request.bits] === 'none' && !tellsSize(form))
  if (!hasUsual) return candidates
  return candidates.filter(({ form }) => form.sizing[request.bits] === 'none' || tellsSize(form))
}

function tellsSize(form: Form): boolean {
  return form.slots.some((slot) => slot.kind !== 'immediate' && slot.kind !== 'relative' && slot.kind !== 'implied')
}

/** Refuses a memory operand of unstated size that forms of several sizes would take. */
function requireOneSize(candidates: readonly Candidate[], request: InstructionRequest): void {
  if (request.code !== undefined) return
  const sizes = new Set<number>()
  for (const { encoded } of candidates) if (encoded.guessedSize !== 0) sizes.add(encoded.guessedSize)
  if (sizes.size > 1) {
    throw new AssemblerError(
      'ERR_AMBIGUOUS_SIZE',
      `${show(request)}: say how large the memory operand is (${[...sizes].join(', ')} bytes are possible)`,
    )
  }
}

/**
 * Shorter; or as long with fewer immediate bytes, since an immediate that a 66 prefix shortens is slow to decode (Intel
 * optimization manual, "Length-Changing Prefixes").
 */
function isBetter(one: Candidate, than: Candidate): boolean {
  const shorter = lengthOf(than) - lengthOf(one)
  return shorter > 0 || (shorter === 0 && one.encoded.immediateBytes < than.encoded.immediateBytes)
}

function lengthOf(candidate: Candidate): number {
  return candidate.encoded.bytes.length
}

/** The next longer form, for a value that turns out not to fit where `best` has it. */
function longerThan(best: Candidate, candidates: readonly Candidate[]): Candidate | undefined {
  return candidates
    .filter((other) => lengthOf(other) > lengthOf(best) && !waits(other, best.encoded.waitingBytes))
    .toSorted((a, b) => lengthOf(a) - lengthOf(b))[0]
}

/** True where a label would have to fit in a field no wider than the one that was too narrow. */
function waits(candidate: Candidate, bytes: number): boolean {
  const { waitingBytes } = candidate.encoded
  return waitingBytes !== 0 && waitingBytes <= bytes
}

function show(request: InstructionRequest): string {
  const name = (request.mnemonic ?? formOfCode(request.code ?? -1)?.mnemonic ?? '').toLowerCase()
  return `${name} ${request.operands.map(formatOperand).join(', ')}`.trimEnd()
}

/** Says which forms come nearest: those of this mode that agree with the most operands. */
function noForm(request: InstructionRequest, forms: readonly Form[]): AssemblerError {
  const here = forms.filter((form) => form.sizing[request.bits] !== undefined)
  if (here.length === 0) {
    const modes = ([16, 32, 64] as const).filter((bits) => forms.some((form) => form.sizing[bits] !== undefined))
    return new AssemblerError(
      'ERR_NO_FORM',
      `${show(request)}: exists in ${modes.join(' and ')}-bit mode, not in ${request.bits}-bit mode`,
    )
  }
  const described = new Map<string, number>()
  for (const form of here) {
    const { text, score } = describeForm(form, request.operands)
    described.set(text, Math.max(score, described.get(text) ?? Number.NEGATIVE_INFINITY))
  }
  const nearest = [...described]
    .toSorted((a, b) => b[1] - a[1])
    .slice(0, 4)
    .map(([text]) => text)
  return new AssemblerError(
    'ERR_NO_FORM',
    `${show(request)}: no such form in ${request.bits}-bit mode; the nearest are: ${nearest.join('; ')}`,
  )
}
