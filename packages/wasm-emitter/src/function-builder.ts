import { type ByteWriter, checkWriter } from './bytes.ts'
import { check, checkIndex } from './checks.ts'
import { WasmEmitterError } from './errors.ts'
import { FunctionBody } from './function-body.ts'
import type { AtomicRmwOp, LoadOp, PrefixType, StoreOp, ValueType } from './opcodes.ts'
import { checkLocal, Locals, makeLocal, type Local } from './local.ts'
import { I32, type I32Like } from './integers.ts'
import { emitStore, exchanged, loaded } from './memory-instructions.ts'
import { checkCallee, checkOperands, checkSignature, valueTypeCode, type Callee, type Signature } from './signature.ts'
import { checkValue, type Value } from './value.ts'
import { valueFrom, type ValueOf } from './value-of.ts'

/** A branch target inside the function being built. */
export interface Label {
  /** Number of enclosing blocks when the block was opened. */
  readonly depth: number
}

const BLOCK_VOID = 0x40

/** Builds the body of one WebAssembly function: statements are methods here, expressions are {@link Value}s. */
export class FunctionBuilder implements Callee {
  /** Index among the functions of the module. */
  readonly index: number
  /** Name, in profiles and in stacks. */
  readonly name: string
  /** Types of the function's parameters and result. */
  readonly signature: Signature
  #params: readonly Local[]
  readonly #body: FunctionBody
  readonly #locals: Locals
  /** Locals stored in memory during calls, with their addresses. */
  readonly #stored: { readonly local: Local<'i32'>; readonly address: I32; readonly offset: number }[] = []
  #depth = 0

  constructor(index: number, name: string, signature: Signature) {
    checkIndex('the index of a function', index)
    check.text('the name of a function', name)
    checkSignature(signature)
    this.index = index
    this.name = name
    this.signature = signature
    this.#params = signature.params.map((type, i) => makeLocal(type, i))
    this.#body = new FunctionBody(name)
    this.#locals = new Locals(name, signature.params.length)
  }

  /** The parameters, as assignable locals; empty for a complete function. */
  get params(): readonly Local[] {
    return this.#params
  }

  /** Parameter `i`, which must be of `type`. */
  param<T extends ValueType>(i: number, type: T): Local<T> {
    checkIndex('the index of a parameter', i)
    valueTypeCode(type)
    const local = this.#params[i]
    if (local?.type !== type)
      throw new WasmEmitterError('ERR_TYPE', `parameter ${i} of ${this.name} is ${local?.type}, not ${type}`)
    return local as Local<T>
  }

  /** A new mutable variable, zero at the function's entry, living to the end of the enclosing {@link FunctionBuilder.scope}. */
  local<T extends ValueType>(type: T): Local<T> {
    valueTypeCode(type)
    return this.#locals.take(type)
  }

  /** A local that belongs to no scope: it lives until it is given back by {@link FunctionBuilder.release}. */
  reserve<T extends ValueType>(type: T): Local<T> {
    valueTypeCode(type)
    return this.#locals.reserve(type)
  }

  /** Releases a reserved local. */
  release(local: Local): void {
    checkLocal(local)
    this.#locals.release(local)
  }

  /** Evaluates a value once, now, into a fresh local; constants and values in locals stay unchanged. */
  let<V extends Value>(value: V): V {
    checkValue(value)
    if ((value as { known?: unknown }).known !== undefined || this.#locals.isBound(value)) return value
    const local = this.local(value.type)
    this.set(local, value as never)
    this.#locals.bind(local)
    return local.get as unknown as V
  }

  /** Locals made inside are given back at its end. */
  scope(build: () => void): void {
    check.function('what a scope holds', build)
    this.#locals.scope(build)
  }

  /** Stores a value in a local. */
  set<T extends ValueType>(local: Local<T>, value: ValueOf[T]): void {
    checkLocal(local)
    checkValue(value as Value, local.type)
    ;(value as Value).emit(this.#body.code)
    this.#body.code.u8(0x21)
    this.#body.code.leb(local.index)
  }

  /** Stores a constant in a local: as {@link FunctionBuilder.set} does, of which exits of compiled code have many. */
  setConstant(local: Local<'i32'>, value: number): void {
    checkLocal(local)
    const { code } = this.#body
    code.u8(0x41)
    code.leb32(value)
    code.u8(0x21)
    code.leb(local.index)
  }

  /** Loads now, into a fresh local. `offset` is the static, unsigned offset. */
  load<K extends LoadOp>(op: K, address: I32Like, offset = 0): ValueOf[PrefixType<K>] {
    return this.let(this.loadExpression(op, address, offset) as Value) as unknown as ValueOf[PrefixType<K>]
  }

  /** A load that happens where the value is used: only for a value used once, before any store that may alias. */
  loadExpression<K extends LoadOp>(op: K, address: I32Like, offset = 0): ValueOf[PrefixType<K>] {
    return loaded(op, address, offset)
  }

  /** Stores a value in memory. */
  store<K extends StoreOp>(op: K, address: I32Like, value: ValueOf[PrefixType<K>], offset = 0): void {
    emitStore(this.#body.code, op, address, value, offset)
  }

  /** An atomic read-modify-write; yields the old value. The address must be naturally aligned, or the code traps. */
  atomic<K extends AtomicRmwOp>(
    op: K,
    address: I32Like,
    operands: readonly ValueOf[PrefixType<K>][],
    offset = 0,
  ): ValueOf[PrefixType<K>] {
    return this.let(exchanged(op, address, operands, offset) as Value) as unknown as ValueOf[PrefixType<K>]
  }

  /** Copies `bytes` bytes; overlapping areas are handled as by memmove. */
  memoryCopy(destination: I32Like, source: I32Like, bytes: I32Like): void {
    for (const value of [destination, source, bytes]) I32.of(value).emit(this.#body.code)
    this.#body.code.raw([0xfc, 0x0a, 0, 0])
  }

  /** Sets `bytes` bytes to the low byte of `value`. */
  memoryFill(destination: I32Like, value: I32Like, bytes: I32Like): void {
    for (const operand of [destination, value, bytes]) I32.of(operand).emit(this.#body.code)
    this.#body.code.raw([0xfc, 0x0b, 0])
  }

  /** Calls a function; a result goes to a fresh local. */
  call<T extends ValueType>(
    callee: Callee & { readonly signature: { readonly result: T } },
    ...operands: Value[]
  ): ValueOf[T]
  /** Calls a function without a result. */
  call(callee: Callee, ...operands: Value[]): undefined
  call(callee: Callee, ...operands: Value[]): Value | undefined {
    checkCallee(callee)
    checkOperands(callee.signature, operands)
    const emit = (out: ByteWriter): void => {
      for (const operand of operands) operand.emit(out)
      out.u8(0x10)
      out.leb(callee.index)
    }
    return this.#finishCall(callee.signature, emit)
  }

  /** Calls through table 0. `typeIndex` comes from {@link ModuleBuilder.typeIndex}. */
  callIndirect(signature: Signature, typeIndex: number, entry: I32Like, ...operands: Value[]): Value | undefined {
    checkSignature(signature)
    checkIndex('the index of a type', typeIndex)
    checkOperands(signature, operands)
    const target = I32.of(entry)
    return this.#finishCall(signature, (out) => {
      for (const operand of operands) operand.emit(out)
      target.emit(out)
      out.u8(0x11)
      out.leb(typeIndex)
      out.leb(0)
    })
  }

  /** Ends the function with a tail call through table 0. */
  returnCallIndirect(signature: Signature, typeIndex: number, entry: I32Like, ...operands: Value[]): void {
    checkSignature(signature)
    checkIndex('the index of a type', typeIndex)
    checkOperands(signature, operands)
    if (signature.result !== this.signature.result) {
      const results = `${String(signature.result)}, not ${String(this.signature.result)}`
      throw new WasmEmitterError('ERR_TYPE', `the function that ends ${this.name} returns ${results}`)
    }
    for (const operand of operands) operand.emit(this.#body.code)
    I32.of(entry).emit(this.#body.code)
    this.#body.code.u8(0x13)
    this.#body.code.leb(typeIndex)
    this.#body.code.leb(0)
  }

  /**
   * Keeps a local in memory during calls: from here on, each returning call stores the local before its operands are
   * evaluated, and loads it afterwards. Otherwise compilers spill a value that lives across a call where it is defined, which
   * in a loop with rare calls costs time in each round.
   *
   * @param address - and `offset`: 4 bytes, which a callee may change
   */
  storeAroundCalls(local: Local<'i32'>, address: I32, offset: number): void {
    checkLocal(local)
    checkValue(local.get, 'i32')
    checkValue(address, 'i32')
    checkIndex('the offset of a local', offset)
    this.#stored.push({ local, address, offset })
  }

  #finishCall(signature: Signature, emit: (out: ByteWriter) => void): Value | undefined {
    for (const { local, address, offset } of this.#stored) this.store('i32.store', address, local.get, offset)
    let result: Value | undefined
    if (signature.result === undefined) emit(this.#body.code)
    else result = this.let(valueFrom(signature.result, emit) as Value)
    for (const { local, address, offset } of this.#stored) {
      this.set(local, this.loadExpression('i32.load', address, offset))
    }
    return result
  }

  /** Emits a block; branching to its label leaves the block. */
  block(build: (label: Label) => void): void {
    this.#structured(0x02, build)
  }

  /** Emits a loop; branching to its label repeats it, falling through ends it. */
  loop(build: (label: Label) => void): void {
    this.#structured(0x03, build)
  }

  #structured(code: number, build: (label: Label) => void): void {
    check.function('what a block holds', build)
    this.#body.code.u8(code)
    this.#body.code.u8(BLOCK_VOID)
    const label = { depth: this.#depth++ }
    build(label)
    this.#depth--
    this.#body.code.u8(0x0b)
  }

  /** Only the arm that can run is emitted where the condition is known. */
  if(condition: I32Like, then: () => void, otherwise?: () => void): void {
    const test = I32.of(condition)
    check.function('an arm', then)
    if (otherwise !== undefined) check.function('an arm', otherwise)
    if (test.known !== undefined) {
      if (test.known !== 0) then()
      else otherwise?.()
      return
    }
    test.emit(this.#body.code)
    this.#body.code.u8(0x04)
    this.#body.code.u8(BLOCK_VOID)
    this.#depth++
    then()
    if (otherwise !== undefined) {
      this.#body.code.u8(0x05)
      otherwise()
    }
    this.#depth--
    this.#body.code.u8(0x0b)
  }

  /** Returns a value from one of two arms, of which only one is evaluated. */
  ifElse<T extends ValueType>(
    type: T,
    condition: I32Like,
    then: () => ValueOf[T],
    otherwise: () => ValueOf[T],
  ): ValueOf[T] {
    const test = I32.of(condition)
    valueTypeCode(type)
    check.function('an arm', then)
    check.function('an arm', otherwise)
    if (test.known !== undefined) return test.known === 0 ? otherwise() : then()
    const result = this.local(type)
    this.if(
      test,
      () => this.set(result, then()),
      () => this.set(result, otherwise()),
    )
    return result.get
  }

  /** Branches to the end of a block, or to the start of a loop. */
  br(label: Label): void {
    this.#body.code.u8(0x0c)
    this.#body.code.leb(this.#distance(label))
  }

  /** Branches if the condition is not 0. */
  brIf(condition: I32Like, label: Label): void {
    const test = I32.of(condition)
    this.#distance(label)
    if (test.known !== undefined) {
      if (test.known !== 0) this.br(label)
      return
    }
    test.emit(this.#body.code)
    this.#body.code.u8(0x0d)
    this.#body.code.leb(this.#distance(label))
  }

  /** Branches by an index; to `otherwise` if the index exceeds the labels. */
  brTable(index: I32Like, labels: readonly Label[], otherwise: Label): void {
    check.list('the labels', labels)
    I32.of(index).emit(this.#body.code)
    this.#body.code.u8(0x0e)
    this.#body.code.leb(labels.length)
    for (const label of labels) this.#body.code.leb(this.#distance(label))
    this.#body.code.leb(this.#distance(otherwise))
  }

  /** Returns, with the value where the function has a result. */
  return(value?: Value | number): void {
    if (value !== undefined) {
      const result = typeof value === 'number' ? I32.of(value) : value
      checkValue(result, this.signature.result)
      result.emit(this.#body.code)
    }
    this.#body.code.u8(0x0f)
  }

  /** Traps. */
  unreachable(): void {
    this.#body.code.u8(0x00)
  }

  /** Puts statements before the function's code so far, for facts that are known when its body is complete. */
  prepend(build: () => void): void {
    check.function('what comes first', build)
    if (this.#depth !== 0) throw new WasmEmitterError('ERR_STRUCTURE', `${this.name}: ${this.#depth} open block(s)`)
    this.#body.prepend(build)
  }

  /**
   * Reserves a place for statements that are known only when the body is complete, before {@link FunctionBuilder.prepend}:
   * `build` is called then. They must not branch to labels of enclosing blocks.
   */
  later(build: () => void): void {
    check.function('what comes later', build)
    this.#body.later(build)
  }

  /** Bytes of code so far, without local declarations. */
  get codeBytes(): number {
    return this.#body.codeBytes
  }

  /** Writes the function's entry in the code section, without its size. The function takes nothing more after that. */
  finish(out: ByteWriter): void {
    checkWriter(out)
    if (this.#depth !== 0) throw new WasmEmitterError('ERR_STRUCTURE', `${this.name}: ${this.#depth} open block(s)`)
    this.#body.emitLater()
    this.#locals.finish(out)
    this.#body.finish(out)
    this.#params = []
  }

  #distance(label: Label): number {
    if (!Number.isInteger((label as Label | null)?.depth))
      throw check.wrong('a label', label, 'what block() or loop() hands over')
    const distance = this.#depth - label.depth - 1
    if (distance < 0) throw new WasmEmitterError('ERR_STRUCTURE', `${this.name}: branch to a label that is not open`)
    return distance
  }
}
