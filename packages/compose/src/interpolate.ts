// Variables in texts, and environment files: Compose Specification, "Interpolation", and "env_file", "Env_file format".

/** Nested defaults are read this deep. */
const MOST_DEPTH = 20
const NAME = /[A-Za-z_]\w*/y
const OPERATOR = /:?[-?+]/y

/** Values of variables, and the calls for missing ones. */
export interface Variables {
  lookup(name: string): string | undefined
  /** Called for a variable without a value and without a default. */
  unset(name: string): void
  fail(reason: string): never
}

/** Replaces `$NAME`, `${NAME}`, `${NAME:-default}` and the other forms; `$$` stands for one `$`. */
export function interpolate(text: string, variables: Variables): string {
  let at = 0
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[0]
    at += found?.length ?? 0
    return found
  }
  /** Reads up to the end of the text or of the braces. An alternative that is not chosen is read, and tells nothing. */
  const expand = (depth: number, isChosen: boolean): string => {
    if (depth > MOST_DEPTH) variables.fail(`more than ${MOST_DEPTH} variables inside of each other`)
    let out = ''
    while (at < text.length && !(depth > 0 && text[at] === '}')) {
      if (text[at] !== '$') out += text[at++]
      else if (text[++at] === '$') out += text[at++]
      else out += variable(depth, isChosen)
    }
    return out
  }
  const variable = (depth: number, isChosen: boolean): string => {
    const isBraced = text[at] === '{'
    if (isBraced) at++
    const name = take(NAME)
    if (name === undefined) return variables.fail('"$" without a name of a variable: write "$$" for a plain "$"')
    const operator = isBraced ? take(OPERATOR) : undefined
    const value = variables.lookup(name)
    const has = operator?.startsWith(':') ? value !== undefined && value !== '' : value !== undefined
    const kind = operator?.at(-1)
    const isUsed = isChosen && kind !== undefined && has === (kind === '+')
    const alternative = kind === undefined ? '' : expand(depth + 1, isUsed)
    if (isBraced && text[at++] !== '}') variables.fail(`"\${${name}" has no "}" where it is expected`)
    if (kind === '?' && isUsed) variables.fail(`the variable ${name} is not set: ${alternative || 'it is required'}`)
    if (kind === undefined && value === undefined && isChosen) variables.unset(name)
    return isUsed ? alternative : kind === '+' ? '' : (value ?? '')
  }
  return expand(0, true)
}

const BLANK = /(?:\s|#[^\n]*(?:\n|$))*/y
const KEY = /(?:export[ \t]+)?([\w.-]+)[ \t]*(?:([=:])[ \t]*|(?=\n|#|$))/y
const QUOTED = /(?:'((?:[^'\\]|\\[^])*)'|"((?:[^"\\]|\\[^])*)")[ \t]*(?:#[^\n]*)?(?=\n|$)/y
const PLAIN = /[^\n]*/y
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' }

/**
 * Reads an environment file. Values may have variables, but not within single quotes.
 *
 * @param values - gets names and values in the order of the file; a name without `=` has the value that `variables` know
 * @param at - is called with the line of each statement, from 1, before anything is looked up or told
 */
export function parseEnvironment(
  source: string,
  variables: Variables,
  values: Map<string, string>,
  at: (line: number) => void,
): void {
  const text = source.replace(/^\uFEFF/, '').replaceAll('\r\n', '\n')
  let [offset, line, counted] = [0, 1, 0]
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = offset
    const found = pattern.exec(text)
    offset += found?.[0].length ?? 0
    return found
  }
  for (take(BLANK); offset < text.length; take(BLANK)) {
    while (counted < offset) if (text[counted++] === '\n') line++
    at(line)
    const [, name = '', separator] = take(KEY) ?? variables.fail('expected NAME=VALUE')
    if (separator === undefined) {
      const inherited = variables.lookup(name)
      if (inherited !== undefined) values.set(name, inherited)
    } else if (text[offset] === "'" || text[offset] === '"') {
      const [, single, double = ''] =
        take(QUOTED) ?? variables.fail(`the value of ${name} has no closing quote at its end`)
      const escaped = (_: string, character: string): string => ESCAPES[character] ?? character
      // An escaped "$" is doubled, so that interpolation leaves it.
      const unescaped = double.replace(/\\([^])/g, (all, one: string) => (one === '$' ? '$$' : escaped(all, one)))
      values.set(name, single?.replaceAll("\\'", "'") ?? interpolate(unescaped, variables))
    } else {
      const plain = (take(PLAIN)?.[0] ?? '').replace(/(?:^|\s)#.*$/, '').trimEnd()
      values.set(name, interpolate(plain, variables))
    }
  }
}
