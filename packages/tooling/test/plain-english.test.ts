/** What `.scripts/plain-english.ts` counts, by the rules of `src/plain-english.ts`. */
import { describe, expect, test } from 'vitest'
import { commentsOf, ofReadme, ofSource } from '../src/plain-english.ts'

const rulesOf = (places: readonly { readonly rule: string }[]): string[] => places.map(({ rule }) => rule)

describe('comments of a source', () => {
  test('neighbouring line comments are one, and a tag begins another', () => {
    const source = [
      '// One sentence',
      '// on two lines.',
      'const a = 1 // beside code',
      '/**',
      ' * A docstring.',
      ' *',
      ' * @param b - a number',
      ' */',
    ].join('\n')
    expect(commentsOf(source)).toEqual([
      { line: 1, text: 'One sentence on two lines.' },
      { line: 3, text: 'beside code' },
      { line: 4, text: 'A docstring.' },
      { line: 4, text: 'a number' },
    ])
  })

  test('an address in a text is no comment', () => {
    expect(commentsOf(`const at = 'https://example.org'`)).toEqual([])
  })
})

describe('a comment', () => {
  test.each([
    ['begins with what', '// What of it is written.', ['openings']],
    ['has a later sentence that begins with who', '// The lock. Whoever has it writes.', ['openings', 'figures']],
    ['begins with one that', '/** One that waits. */', ['openings']],
    ['begins with a pronoun', '// It waits.', ['pronouns']],
    ['begins with a pronoun and a verb', '// This is a list.', ['pronouns']],
    ['begins with its', '/** Its name. */', ['vague']],
    ['acts on it', '/** Ends it. */', ['vague']],
    ['asks about it', '/** How often it waits. */', ['vague']],
    ['has a clause for a noun', '// Ends the pass by what was found.', ['clauses']],
    ['has a noun elsewhere', '// The lines of those that wait.', ['deictics']],
    ['has a place elsewhere', '// A queue has no commands there.', ['deictics']],
    ['has a figure of speech', '// The write leads nowhere.', ['figures']],
    ['has two', '// A guest that dies asks in vain.', ['figures', 'figures']],
  ])('that %s is found', (_, source, rules) => {
    expect(rulesOf(ofSource(source))).toEqual(rules)
  })

  test.each([
    ['/** The name of the drive. */'],
    ['// This queue has a limit.'],
    ['/** Ends the queue, which frees its memory. */'],
    ['// There is none.'],
    ['// Says what a guest is like, and what the queue looks like.'],
    ['// Codes that are good for good measure.'],
    ["const text = 'What of it dies in vain'"],
  ])('such as %s is left alone', (source) => {
    expect(ofSource(source)).toEqual([])
  })

  test('is named by the line on which it begins', () => {
    expect(ofSource('const a = 1\n\n/** Its name. */\n')).toEqual([{ rule: 'vague', line: 3, text: 'Its name.' }])
  })
})

describe('a README', () => {
  const words = (count: number): string => `${'word '.repeat(count - 1)}word.`

  test('has sentences of 30 words at most', () => {
    expect(ofReadme(words(30))).toEqual([])
    expect(rulesOf(ofReadme(words(31)))).toEqual(['longSentences'])
    expect(ofReadme(`${words(20)} Word ${words(20)}`)).toEqual([])
  })

  test('counts code and the address of a link as one word and none', () => {
    expect(ofReadme(`\`a b c d\` [link](https://example.org/a b c) ${words(28)}`)).toEqual([])
  })

  test('may say anything in code, tables and headings', () => {
    const code = ['```sh', words(40), '```']
    expect(ofReadme(['# In vain', '', ...code, '', `| in vain | ${words(40)} |`].join('\n'))).toEqual([])
  })

  test('has each item of a list counted by itself, with its line', () => {
    const list = ['A list:', '', `- ${words(20)}`, `- ${words(31)}`, '- swallowed'].join('\n')
    expect(ofReadme(list).map(({ rule, line }) => [rule, line])).toEqual([
      ['longSentences', 4],
      ['figures', 5],
    ])
  })
})
