/** Figures in texts: `<!-- figure: KEY -->TEXT<!-- / -->` has what recorded.json has by that key. */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { read, root } from './support/programs.ts'

const repository = join(root, '../..')
const recorded = JSON.parse(read('recorded.json')) as Readonly<
  Record<string, { readonly text: string; readonly date: string; readonly command: string }>
>
const texts = ['README.md', '{apps,packages}/*/README.md', 'apps/docs/pages/**/*.md'].flatMap((pattern) =>
  globSync(pattern, { cwd: repository }),
)
const figures = texts.flatMap((file) =>
  [...readFileSync(join(repository, file), 'utf8').matchAll(/<!-- figure: (.*?) -->(.*?)<!-- \/ -->/g)].map(
    ([, key = '', text = '']) => ({ file, key, text }),
  ),
)

test('figures in texts are the recorded ones', () => {
  expect(figures).toEqual(figures.map((figure) => ({ ...figure, text: recorded[figure.key]?.text })))
})

test('each recorded figure is in a text', () => {
  expect([...new Set(figures.map(({ key }) => key))].sort()).toEqual(Object.keys(recorded))
})
