// The changes of one token that `npm run -s mutate` makes to a source file.
import { parseAst } from 'rolldown/parseAst'

/** One change: the characters from `start` to `end` become `replacement`. */
export interface Mutation {
  readonly start: number
  readonly end: number
  readonly before: string
  readonly replacement: string
}

/** What each operator becomes. */
const OPERATORS: Readonly<Record<string, string>> = {
  '<': '<=',
  '<=': '<',
  '>': '>=',
  '>=': '>',
  '===': '!==',
  '!==': '===',
  '+': '-',
  '-': '+',
  '*': '+',
  '/': '*',
  '%': '*',
  '&': '|',
  '|': '&',
  '^': '|',
  '<<': '>>',
  '>>': '<<',
  '>>>': '>>',
  '&&': '||',
  '||': '&&',
  '+=': '-=',
  '-=': '+=',
  '|=': '&=',
  '&=': '|=',
  '^=': '|=',
  '<<=': '>>=',
  '>>=': '<<=',
  '++': '--',
  '--': '++',
}

/** A node of the tree, as far as it matters here. */
interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [key: string]: unknown
}

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'

/** Nodes of TypeScript that are there when the program runs. */
const EXPRESSIONS_OF_TYPESCRIPT: ReadonlySet<string> = new Set([
  'TSAsExpression',
  'TSNonNullExpression',
  'TSSatisfiesExpression',
])

/** Returns whether `shift` is `x >>> n`, and the other operand of `&` has none of the upper n bits. */
function losesSign(shift: Node, and: Node): boolean {
  if (shift.type !== 'BinaryExpression' || shift['operator'] !== '>>>') return false
  const by = (shift['right'] as Node)['value']
  const mask = ((and['left'] === shift ? and['right'] : and['left']) as Node)['value']
  return typeof by === 'number' && by < 32 && typeof mask === 'number' && mask < 2 ** (32 - by)
}

/** All changes that can be made to a file. Texts of errors and types are left alone. */
export function mutationsOf(source: string): Mutation[] {
  const found: Mutation[] = []
  const add = (start: number, end: number, replacement: string): void => {
    found.push({ start, end, before: source.slice(start, end), replacement })
  }
  const operator = (between: number, limit: number, text: string): void => {
    const start = source.indexOf(text, between)
    const replacement = OPERATORS[text]
    if (replacement !== undefined && start >= 0 && start < limit) add(start, start + text.length, replacement)
  }
  /** Shifts whose copies of the sign are masked away: `>>` is the same as `>>>` there. */
  const signless = new Set<Node>()
  const visit = (node: Node): void => {
    if (node.type.startsWith('TS') && !EXPRESSIONS_OF_TYPESCRIPT.has(node.type)) return
    if (node.type === 'ImportDeclaration' || node.type === 'ThrowStatement') return
    switch (node.type) {
      case 'BinaryExpression':
      case 'LogicalExpression':
      case 'AssignmentExpression': {
        const { left, right } = node as unknown as { readonly left: Node; readonly right: Node }
        // A shift by 0 is the same in both directions.
        const moves = right['value'] !== 0 || !['<<', '>>'].includes(String(node['operator']))
        if (node['operator'] === '&') for (const side of [left, right]) if (losesSign(side, node)) signless.add(side)
        if (moves && !signless.has(node)) operator(left.end, right.start, String(node['operator']))
        break
      }
      case 'UpdateExpression':
        operator(node.start, node.end, String(node['operator']))
        break
      case 'UnaryExpression':
        if (['!', '-', '~'].includes(String(node['operator']))) add(node.start, node.start + 1, '')
        break
      case 'Literal':
        if (typeof node['value'] === 'number') add(node.start, node.end, String(node['value'] + 1))
        else if (typeof node['value'] === 'boolean') add(node.start, node.end, String(!node['value']))
        break
      default:
    }
    for (const value of Object.values(node)) {
      for (const child of Array.isArray(value) ? (value as readonly unknown[]) : [value])
        if (isNode(child)) visit(child)
    }
  }
  visit(parseAst(source, { lang: 'ts' }) as unknown as Node)
  return found
}

/** The line of a change, counted from 1, and its text before and after. */
export function lineOf(
  source: string,
  { start, end, replacement }: Mutation,
): { readonly line: number; readonly before: string; readonly after: string } {
  const from = source.lastIndexOf('\n', start - 1) + 1
  const next = source.indexOf('\n', end)
  const to = next < 0 ? source.length : next
  return {
    line: source.slice(0, start).split('\n').length,
    before: source.slice(from, to).trim(),
    after: `${source.slice(from, start)}${replacement}${source.slice(end, to)}`.trim(),
  }
}
