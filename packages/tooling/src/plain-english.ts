// What style.md, section 4, forbids, as far as a program can find it: `.scripts/plain-english.ts` counts it.
//
// In comments of sources:
// - openings: a sentence that begins with what, who, whoever, whose, one that, one whose, or of these.
// - pronouns: a comment whose first word is it, they, them, this, that, these or those, without a noun after it.
// - vague: a comment that begins with its or their, or whose first verb or question is about "it" or "them" ("Ends it").
// - clauses: a clause with "what" in place of a noun ("what is under way", "by what was found").
// - deictics: "those that", "the next two", and "there" at a clause's end: words whose noun a reader has to look for elsewhere.
// - figures: a figure of speech of {@link FIGURES}.
// In texts of READMEs, without tables, code, headings and lists of links:
// - longSentences: a sentence with more than 30 words.
// - figures: as in comments.

/** A place that breaks a rule. */
export interface Place {
  readonly rule: 'openings' | 'pronouns' | 'vague' | 'clauses' | 'deictics' | 'figures' | 'longSentences'
  /** The line on which the comment or the paragraph begins. */
  readonly line: number
  /** The sentence; for `figures` the words. */
  readonly text: string
}

/** A comment of a source, or a part of a docstring that a tag begins. */
export interface Comment {
  readonly line: number
  /** The text without comment marks, on one line. */
  readonly text: string
}

const LONGEST_SENTENCE = 30

const OPENING = /^(?:What|Who|Whoever|Whose|One (?:that|which|who|whose)|Of (?:these|those))\b/
const PRONOUN =
  /^(?:It|They|Them)\b|^(?:This|That|These|Those) (?:is|are|was|were|has|have|does|do|can|may|will|that|which|who|whose)\b/
const VAGUE =
  /^(?:Its|Their)\b|^[A-Z][a-z]+s (?:it|them)\b|^(?:How|Where|When|Whether|Why)(?: (?:often|long|much|many))? (?:it|they)\b/

const CLAUSE = /(?<!^)\bwhat\b(?! (?:a|an|the) \w+ (?:is|looks) like)/
const DEICTIC =
  /\b[Tt]hose (?:that|of|which|who|whose|it|in|with|without|behind|from|at|for|on)\b|\bthe (?:others?|next|first|second|last|other) (?:two|three|one|ones)?(?=[.,;:])|\bthere(?=[.,;:])/

/** Figures of speech that comments and READMEs have had, each with the words that say it plainly. */
export const FIGURES: readonly (readonly [figure: RegExp, instead: string])[] = [
  [/\bwhoever\b/i, 'the caller, the guest, the server'],
  [/\bnobody's\b/i, 'unclaimed, free'],
  [/\bin vain\b/i, 'without success, has no effect'],
  [/(?<!good )\bfor good\b/i, 'permanently'],
  [/\bmakes? no sense\b/i, 'is invalid'],
  [/\bthat there (?:is|are) not\b/i, 'that does not exist'],
  [/\bcounts? for nothing\b/i, 'is ignored'],
  [/\bleads? nowhere\b/i, 'is not connected'],
  [/\bswallow(?:s|ed)?\b/i, 'ignores, drops'],
  [/\bas (?:one|it|they|you) likes?\b/i, 'freely'],
  [/\bha(?:s|ve) (?:its|their) say\b/i, 'decides, changes it'],
  [/\bhears? of\b/i, 'is notified of'],
  [/\bow(?:e|es|ed)\b/i, 'is pending, has yet to'],
  [/\bdies?\b|\bdied\b/i, 'ends, is dropped'],
  [/\bstrangers?\b/i, 'another user, an unknown client'],
  [/\bsuffers?\b/i, 'fails, becomes slower'],
  [/\bso to speak\b|\bout of the blue\b|\bhappy\b/i, 'leave it out'],
  [/\b(?:that|which|who) (?:is|are|was|were) none\b(?! of)/i, 'is not one, is invalid'],
]

/** Returns the rule violations in a source's comments. */
export function ofSource(source: string): Place[] {
  return commentsOf(source).flatMap(({ line, text }) => {
    const sentences = sentencesOf(text)
    const [first = ''] = sentences
    const found: Place[] = sentences
      .filter((sentence) => OPENING.test(sentence))
      .map((sentence) => ({ rule: 'openings', line, text: sentence }))
    if (PRONOUN.test(first)) found.push({ rule: 'pronouns', line, text: first })
    if (VAGUE.test(first)) found.push({ rule: 'vague', line, text: first })
    const [clause, deictic] = [sentences.find((one) => CLAUSE.test(one)), sentences.find((one) => DEICTIC.test(one))]
    if (clause !== undefined) found.push({ rule: 'clauses', line, text: clause })
    if (deictic !== undefined) found.push({ rule: 'deictics', line, text: deictic })
    return [...found, ...figuresOf(line, text)]
  })
}

/** Returns the rule violations in a README's text. */
export function ofReadme(readme: string): Place[] {
  const prose = readme
    .replaceAll(/^```.*?^```$/gms, (code) => code.replaceAll(/[^\n]/g, ''))
    .replaceAll(/^(?:\||#|!|<)[^\n]*$/gm, '')
  const found: Place[] = []
  let offset = 0
  for (const paragraph of prose.split(/\n(?=\n)|\n(?=[-*] |\d+\. )/)) {
    const begin = /^\n*/.exec(paragraph)?.[0].length ?? 0
    const line = prose.slice(0, offset + begin).split('\n').length
    offset += paragraph.length + 1
    const text = paragraph.replaceAll(/\s+/g, ' ').trim()
    for (const sentence of sentencesOf(text))
      if (wordsOf(sentence) > LONGEST_SENTENCE) found.push({ rule: 'longSentences', line, text: sentence })
    found.push(...figuresOf(line, text))
  }
  return found
}

function figuresOf(line: number, text: string): Place[] {
  return FIGURES.flatMap(([figure, instead]) => {
    const [words] = figure.exec(text) ?? []
    return words === undefined ? [] : [{ rule: 'figures', line, text: `"${words}": ${instead}` }]
  })
}

/** The comments of a source: neighbouring line comments are one. Tags of docstrings begin a comment of their own. */
export function commentsOf(source: string): Comment[] {
  const pattern = /^[ \t]*(?:\/\/[^\n]*(?:\n[ \t]*\/\/[^\n]*)*|\/\*\*?.*?\*\/)|[ \t]\/\/ [^\n]*/gms
  return [...source.matchAll(pattern)].flatMap((match) => {
    const line = source.slice(0, match.index).split('\n').length
    const text = match[0]
      .replaceAll(/^[ \t]*(?:\/\*\*?|\*\/|\*|\/\/)/gm, '')
      .replaceAll('*/', '')
      .trim()
    return text.split(/^ *@\w+.*?- |^ *@\w+ /m).map((part) => ({ line, text: part.replaceAll(/\s+/g, ' ').trim() }))
  })
}

function sentencesOf(text: string): string[] {
  return text.split(/(?<=[.!?:][)`*]*) +(?=[A-Z`*([])/)
}

/** Words of a sentence. Code counts as one word, and so does a link's address. */
function wordsOf(sentence: string): number {
  const plain = sentence.replaceAll(/`[^`]*`/g, 'code').replaceAll(/\]\([^)]*\)/g, ']')
  return plain.split(/\s+/).filter((word) => /\w/.test(word)).length
}
