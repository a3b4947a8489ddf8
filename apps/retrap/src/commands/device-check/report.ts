/** The lines that `retrap device-check` prints. */

/** A rule of the protocol that a server has to keep to. */
export interface Rule {
  /** Title of the part in few words, about the server. */
  readonly title: string
  /** The sentence of `PROTOCOL.md` with this rule, literally. */
  readonly sentence: string
}

type Verdict = 'ok' | 'FAIL' | 'skip'

const INDENT = '      '

/** Collects one verdict for each rule, and prints verdicts as they come. */
export class Report {
  readonly #print: (line: string) => void
  readonly #verdicts = new Map<Rule, Verdict>()
  #again = 0

  /** @param print - takes a line */
  constructor(print: (line: string) => void) {
    this.#print = print
  }

  part(title: string): void {
    this.#print(`\n${title}`)
  }

  /** Whether a rule has a verdict. */
  has(rule: Rule): boolean {
    return this.#verdicts.has(rule)
  }

  /** The server keeps to a rule. @param detail - how often, and the like */
  ok(rule: Rule, detail = ''): void {
    this.#tell('ok', rule, detail)
  }

  /** Nothing could be said of rules that have no verdict. @param why - the reason */
  skip(why: string, ...rules: readonly Rule[]): void {
    for (const rule of rules) this.#tell('skip', rule, why)
  }

  /**
   * The server does not keep to a rule. The first finding of each rule is printed.
   *
   * @param seen - one line, or a frame's lines
   * @param sentence - one that replaces the rule's, for one field
   */
  fail(rule: Rule, seen: string, expected: string, sentence?: string): void {
    if (this.#verdicts.get(rule) === 'FAIL') {
      this.#again++
      return
    }
    // A rule that seemed to be kept may still be broken later.
    this.#verdicts.delete(rule)
    this.#tell('FAIL', rule, '', sentence)
    const lines = (label: string, text: string): void => {
      const [first = '', ...rest] = text.split('\n')
      this.#print(`${INDENT}${label.padEnd(10)}${first}`)
      for (const line of rest) this.#print(`${INDENT}${' '.repeat(10)}${line}`)
    }
    lines('seen:', seen)
    lines('expected:', expected)
  }

  #tell(verdict: Verdict, rule: Rule, detail: string, sentence = rule.sentence): void {
    if (this.#verdicts.has(rule)) return
    this.#verdicts.set(rule, verdict)
    this.#print(`${verdict.padEnd(INDENT.length)}${rule.title}${detail === '' ? '' : ` (${detail})`}`)
    this.#print(`${INDENT}“${sentence.replaceAll('*', '')}”`)
  }

  /** Rules with a verdict. */
  count(verdict: Verdict): number {
    return [...this.#verdicts.values()].filter((each) => each === verdict).length
  }

  /** The last line. */
  get summary(): string {
    const again = this.#again === 0 ? '' : `; the same was seen ${this.#again} times more`
    return `${this.count('ok')} ok, ${this.count('FAIL')} failed, ${this.count('skip')} skipped${again}`
  }
}
