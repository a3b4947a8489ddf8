// What programs read: each page as Markdown without the parts that need a browser, `llms.txt`, which lists the pages
// (https://llmstxt.org), and `llms-full.txt`, which has all of them in the order of the sidebar.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { DefaultTheme } from 'vitepress'
import { sidebar } from '../.vitepress/sidebar.ts'
import { tellFaults, tellFields } from './cluster-file.ts'

const pages = join(import.meta.dirname, '../pages')
const INTRODUCTION = `# retrap

> A 64-bit PC and an Arm board in TypeScript, for Node, Bun, Deno and web pages. They boot unmodified systems, runs repeat to the
> instruction, and a device model may take as long as it likes. The command is \`retrap\`; each part is an npm package.
`
const TABLES: Readonly<Record<string, () => string>> = { fields: tellFields, faults: tellFaults }

/** A page's file below the folder of pages. */
const fileOf = (link: string): string => `${link.slice(1)}${link.endsWith('/') ? 'index' : ''}.md`

/** Reads a page: code and tables that it includes are in the text, and drawings are left out. */
export function textOf(file: string): string {
  const folder = join(pages, dirname(file))
  return (
    readFileSync(join(pages, file), 'utf8')
      .replace(/^---\n[^]*?\n---\n/, '')
      .replaceAll(/^<<< (\S+?\.(\w+))(?: .*)?$/gm, (_, path: string, kind: string) => {
        const source = path.startsWith('@/') ? join(pages, path.slice(2)) : join(folder, path)
        return `\`\`\`${kind}\n${readFileSync(source, 'utf8').trimEnd()}\n\`\`\``
      })
      .replaceAll(/<div v-html="data\.(\w+)" \/>/g, (_, name: string) => TABLES[name]?.() ?? '')
      .replaceAll(/^<Sequence\s+caption="([^"]*)"[^]*?\/>$/gm, '$1')
      // Elements of the site, and comments such as those around figures. Code has none of these at the beginning of a line.
      .replaceAll(/^<script setup>[^]*?<\/script>$|<!--[^]*?-->|^<(?:Run|Machine|Embed|Exercise|a|div)\b.*>$/gm, '')
      .replaceAll(/^<\/?(?:main|section|div|figure|p|img)\b[^>]*>$|<\/?figcaption>/gm, '')
      .replaceAll(/\n{3,}/g, '\n\n')
      .trim()
  )
}

/** The first sentences of a page: the paragraph behind its title. */
const summaryOf = (text: string): string =>
  (/^# .*\n+([^#|`<\n][^]*?)\n\n/.exec(`${text}\n\n`)?.[1] ?? '')
    .replaceAll('\n', ' ')
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')

/** The files for programs, by their paths in the site. */
export function documents(): ReadonlyMap<string, string> {
  const files = new Map<string, string>()
  const index: string[] = [INTRODUCTION]
  const add = ({ text = '', link, items = [] }: DefaultTheme.SidebarItem): void => {
    if (link === undefined) {
      index.push(`## ${text}\n`)
      for (const item of items) add(item)
      return void index.push('')
    }
    const page = textOf(fileOf(link))
    files.set(fileOf(link), `${page}\n`)
    index.push(`- [${text}](${fileOf(link)}): ${summaryOf(page)}`.replace(/: $/, ''))
  }
  for (const group of sidebar) add(group)
  const all = [...files].map(([file, text]) => `<!-- ${file} -->\n\n${text}`)
  return files.set('llms.txt', index.join('\n')).set('llms-full.txt', [INTRODUCTION, ...all].join('\n'))
}

/** Writes them into the folder of the built site. */
export function writeDocuments(folder: string): void {
  for (const [file, text] of documents()) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), text)
  }
}
