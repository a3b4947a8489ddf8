import { globSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import type { DefaultTheme } from 'vitepress'
import { describe, expect, test } from 'vitest'
import { sidebar } from '../.vitepress/sidebar.ts'
import { documents } from '../build/documents.ts'
import { entryPoints, referencePage } from '../build/entry-points.ts'

const folder = join(dirname(import.meta.dirname), 'pages')
const pages = new Map<string, string>(
  globSync('**/*.md', { cwd: folder })
    .sort()
    .map((file) => [`/${file.replaceAll('\\', '/').replace(/(?:(?<=\/|^)index)?\.md$/, '')}`, readPage(file)]),
)
/** Pages that are built by others. */
const built = new Set([
  '/reference/index.html',
  '/machine/index.html',
  '/machine/tools.html',
  ...entryPoints().map(({ name }) => referencePage(name)),
])

function readPage(file: string): string {
  // Code has no links and no headings. Vite finds images, or fails.
  return readFileSync(join(folder, file), 'utf8').replaceAll(/^```[^]*?^```|!\[[^\]]*\]\([^)]*\)/gm, '')
}

/** The anchor that VitePress gives to a heading. */
function anchorOf(heading: string): string {
  return heading
    .replaceAll(/[`*]|\]\([^)]*\)|\[/g, '')
    .normalize('NFKD')
    .replaceAll(/[\s~`!@#$%^&*()\-_+=[\]{}|\\;:"'“”‘’<>,.?/]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .replace(/^(\d)/, '_$1')
    .toLowerCase()
}

function anchors(text: string): string[] {
  return [...text.matchAll(/^#{1,6} (.*)$/gm)].map(([, heading = '']) => anchorOf(heading))
}

describe('links lead to pages and headings that there are', () => {
  test.each([...pages.keys()])('%s', (page) => {
    const text = pages.get(page)!
    const links = [...text.matchAll(/\]\(([^)\s]+)\)|(?:href|link)(?:=|: )"?([^"\s>]+)/g)].map(
      ([, a, b]) => a ?? b ?? '',
    )
    for (const link of links) {
      if (/^https:\/\/\S+\.\S+$/.test(link)) continue
      const [path = '', anchor] = link.split('#')
      const target =
        path === '' ? page : posix.resolve(page.replace(/[^/]*$/, ''), path) + (/.\/$/.test(path) ? '/' : '')
      if (built.has(target)) continue
      expect([...pages.keys()], `${page}: ${link}`).toContain(target)
      if (anchor !== undefined) expect(anchors(pages.get(target)!), `${page}: ${link}`).toContain(anchor)
    }
  })

  test('the sidebar has every page once', () => {
    const linked = (items: readonly DefaultTheme.SidebarItem[]): string[] =>
      items.flatMap(({ link, items: more }) => [...(link === undefined ? [] : [link]), ...linked(more ?? [])])
    expect(linked(sidebar).toSorted()).toEqual([...pages.keys()].toSorted())
  })

  test('programs get every page, without parts that only a browser shows', () => {
    const files = documents()
    const names = [...pages.keys()].map((page) => `${page.slice(1)}${page.endsWith('/') ? 'index' : ''}.md`)
    expect([...files.keys()].toSorted()).toEqual([...names, 'llms.txt', 'llms-full.txt'].toSorted())
    const listed = [...files.get('llms.txt')!.matchAll(/^- \[[^\]]*\]\(([^)]*)\)/gm)].map(([, file]) => file)
    expect(listed.toSorted()).toEqual(names.toSorted())
    for (const name of names) {
      const text = files.get(name)!
      expect(files.get('llms-full.txt')).toContain(text)
      const prose = text.replaceAll(/^```[^]*?^```/gm, '')
      expect(prose, name).toMatch(/^# /)
      expect(prose.match(/^<<<.*|^<(?!table|!).*|v-html|@include/gm), name).toBeNull()
    }
  })
})
