import { AssemblerError } from './checks.ts'
import { describeForm, nearestNames } from './describe.ts'
import { encodeForm, type EncodedForm, type EncodeContext } from './encode.ts'
import type { Encoding } from './fixups.ts'
import type { Form } from './form.ts'
import { COMMUTATIVE, FAR_BRANCHES, formOfCode, formsFor, formsOf, mnemonicOfMethod } from './forms.ts'
import { formatOperand, type Operand } from './operands.ts'
import { changedMemory, type Memory } from './memory.ts'
import type { InstructionPrefixes } from './prefixes.ts'
import type { Register } from './register.ts'
import { registerOf } from './registers.ts'

/** One instruction as the builder asks for it. Either `mnemonic` or `code` is given. */
export interface InstructionRequest {
  readonly mnemonic: string | undefined
  readonly code: number | undefined
  readonly operands: readonly Operand[]
  readonly prefixes: InstructionPrefixes
  readonly bits: 16 | 32 | 64
}

/** The encodings of an instruction: the shortest first, then longer ones, for values of labels that do not fit. */
export interface AssembledInstruction {
  readonly mnemonic: string
  readonly encodings: readonly Encoding[]
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
  const context: EncodeContext = { bits: request.bits, prefixes: request.prefixes }
  const candidates: Candidate[] = []
  /** Whether any form works without EVEX. */
  let hasPlain = false
  let reason: AssemblerError | (() => AssemblerError) | undefined
  let isReasonUsual = false
  /** Of several reasons the first of a form that has the mode's size: the others were hardly meant. */
  const note = (why: AssemblerError | (() => AssemblerError), form: Form): void => {
    const isUsual = form.sizing[request.bits] === 'none'
    if (reason !== undefined && (isReasonUsual || !isUsual)) return
    reason = why
    isReasonUsual = isUsual
  }
  const wanted = withNarrowestSource(request)
  for (const operands of variantsOf(wanted)) {
    const forms = request.code === undefined ? formsFor(nameFor(request), wanted) : allForms(request)
    for (const form of forms) {
      // A form without EVEX takes the operands too, and is preferred.
      if (form.encoding === 'evex' && hasPlain) continue
      try {
        const encoded = encodeSwappable(form, operands, context)
        if (typeof encoded === 'function') note(encoded, form)
        else if (encoded !== undefined) {
          candidates.push({ form, encoded })
          hasPlain ||= form.encoding !== 'evex'
        }
      } catch (error) {
        // Operands of the right kinds with a value that this form cannot hold. Another form may do.
        if (!(error instanceof AssemblerError)) throw error
        note(error, form)
      }
    }
  }
  const usable = withoutEvex(withUsualSize(candidates, request))
  const [first] = usable
  if (first === undefined) {
    throw (typeof reason === 'function' ? reason() : reason) ?? noForm(request, allForms(request))
  }
  if (usable.length > 1) requireOneSize(usable, request)
  const best = usable.reduce((a, b) => (isBetter(b, a) ? b : a), first)
  const mnemonic = best.form.mnemonic
  if (best.encoded.fixups.length === 0 || usable.length === 1) return { mnemonic, encodings: [best.encoded] }
  const longer = usable
    .filter((other) => other !== best && lengthOf(other) >= lengthOf(best))
    .toSorted((a, b) => lengthOf(a) - lengthOf(b))
  return { mnemonic, encodings: [best, ...longer].map(({ encoded }) => encoded) }
}

/**
 * Returns the operands; if a displacement is a distance between labels, preceded by a variant with 8 bits. Addresses
 * always have their full width, so that they can be relocated.
 */
function variantsOf(operands: readonly Operand[]): readonly (readonly Operand[])[] {
  const isDistance = (operand: Operand): operand is Memory =>
    typeof operand === 'object' &&
    operand.type === 'memory' &&
    operand.base !== undefined &&
    operand.dispBits === 0 &&
    typeof operand.disp !== 'bigint' &&
    !operand.disp.isAddress
  if (!operands.some(isDistance)) return [operands]
  const short = operands.map((operand) => (isDistance(operand) ? changedMemory(operand, { dispBits: 8 }) : operand))
  return [short, operands]
}

/**
 * A move to a segment register takes 16 bits of whatever register it is from, so it needs no prefix for its size
 * (SDM vol. 2B, MOV): MOV DS, AX is written as MOV DS, EAX in 32-bit code.
 */
function withNarrowestSource({ mnemonic, operands, prefixes, bits }: InstructionRequest): readonly Operand[] {
  const [to, from] = operands
  const isMove = mnemonic === 'MOV' && operands.length === 2 && prefixes.operandSize === 0
  if (!isMove || !isRegister(to) || to.class !== 'segment') return operands
  if (!isRegister(from) || !/^gp(16|32|64)$/.test(from.class)) return operands
  if (bits !== 64 && (from.class === 'gp64' || from.number > 7)) return operands
  return [to, registerOf(bits === 16 ? 'gp16' : 'gp32', from.number) ?? from]
}

function isRegister(operand: Operand | undefined): operand is Register {
  return typeof operand === 'object' && operand.type === 'register'
}

/** JMP and CALL with a far pointer are forms of their own in the table. */
function nameFor(request: InstructionRequest): string {
  const mnemonic = request.mnemonic ?? ''
  const isFar = request.operands.some((operand) => typeof operand === 'object' && operand.type === 'far')
  return isFar ? (FAR_BRANCHES.get(mnemonic) ?? mnemonic) : mnemonic
}

/** Returns all forms requested by name or number. Throws `ERR_NO_FORM` if none exist. */
function allForms(request: InstructionRequest): readonly Form[] {
  if (request.code !== undefined) {
    const form = formOfCode(request.code)
    if (form === undefined) throw new AssemblerError('ERR_NO_FORM', `there is no form number ${request.code}`)
    return [form]
  }
  const forms = formsOf(nameFor(request))
  if (forms.length === 0) throw unknownMnemonic(request.mnemonic ?? '')
  return forms.filter((form) => !form.alias)
}

/** Encodes the operands as written, or swapped if their order does not matter. */
function encodeSwappable(
  form: Form,
  operands: readonly Operand[],
  context: EncodeContext,
): ReturnType<typeof encodeForm> {
  const direct = encodeForm(form, operands, context)
  if (direct !== undefined || operands.length !== 2 || !COMMUTATIVE.has(form.mnemonic)) return direct
  return encodeForm(form, operands.toReversed(), context)
}

/**
 * Where no operand tells the size (PUSH of an immediate, RET, branches), the mode does: the form that needs no size
 * prefix. Else `push(0x12345)` would silently push four bytes in 16-bit code.
 */
function withUsualSize(candidates: readonly Candidate[], request: InstructionRequest): readonly Candidate[] {
  if (request.code !== undefined || request.prefixes.operandSize !== 0) return candidates
  // imm16(5) states a size.
  if (request.operands.some((operand) => typeof operand === 'object' && operand.type === 'immediate')) return candidates
  const isUntold = candidates.some(({ form }) => !tellsSize(form))
  if (!isUntold) return candidates
  const hasUsual = allForms(request).some((form) => form.sizing[request.bits] === 'none' && !tellsSize(form))
  if (!hasUsual) return candidates
  return candidates.filter(({ form }) => form.sizing[request.bits] === 'none' || tellsSize(form))
}

/** EVEX only where nothing else will do: fewer CPUs have it, even if its scaled displacement would save a byte at times. */
function withoutEvex(candidates: readonly Candidate[]): readonly Candidate[] {
  const others = candidates.filter(({ form }) => form.encoding !== 'evex')
  return others.length === 0 ? candidates : others
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
      `${show(request)}: say how large the memory operand is (${[...sizes].toSorted((a, b) => a - b).join(', ')} bytes are possible)`,
    )
  }
}

/**
 * Whether a candidate is shorter, or as long with fewer immediate bytes: an immediate that a 66 prefix shortens is slow to decode (Intel
 * optimization manual, "Length-Changing Prefixes").
 */
function isBetter(one: Candidate, than: Candidate): boolean {
  const shorter = lengthOf(than) - lengthOf(one)
  return shorter > 0 || (shorter === 0 && one.encoded.immediateBytes < than.encoded.immediateBytes)
}

function lengthOf(candidate: Candidate): number {
  return candidate.encoded.bytes.length
}

function show(request: InstructionRequest): string {
  const name = (request.mnemonic ?? formOfCode(request.code ?? -1)?.mnemonic ?? '').toLowerCase()
  return `${name} ${request.operands.map(formatOperand).join(', ')}`.trimEnd()
}

/** Tells whether an operand names a register that most encodings have no bits for. */
function usesHighRegisters(operands: readonly Operand[]): boolean {
  return operands.some((given) => {
    const operand = typeof given === 'object' && given.type === 'masked' ? given.operand : given
    if (typeof operand !== 'object') return false
    if (operand.type === 'register') return operand.number > 15
    const memory = operand.type === 'broadcast' ? operand.memory : operand
    return memory.type === 'memory' && Math.max(memory.base?.number ?? 0, memory.index?.number ?? 0) > 15
  })
}

/** Says which mnemonics are written alike. */
function unknownMnemonic(mnemonic: string): AssemblerError {
  const nearest = nearestNames(mnemonic.toLowerCase(), mnemonicOfMethod.keys())
  const hint = nearest.length === 0 ? '' : `; did you mean ${nearest.join(', ')}?`
  return new AssemblerError('ERR_NO_FORM', `there is no instruction ${mnemonic}${hint}`)
}

/** Names the nearest forms: forms of this mode that agree with the most operands. */
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
  const high = usesHighRegisters(request.operands)
    ? '; registers from 16 on need EVEX, or REX2 if they are general registers'
    : ''
  const { encoding } = request.prefixes
  const how = encoding === undefined ? '' : ` with encoding '${encoding}'`
  return new AssemblerError(
    'ERR_NO_FORM',
    `${show(request)}: no such form${how} in ${request.bits}-bit mode; the nearest are: ${nearest.join('; ')}${high}`,
  )
}
