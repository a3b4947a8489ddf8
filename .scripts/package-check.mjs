// Packs the package in the current folder as it would be published, and has publint and attw look at the tarball.
import { spawnSync } from 'node:child_process'
import { existsSync, globSync, mkdirSync, readFileSync } from 'node:fs'
import { entryPoints, standaloneModules } from '../packages/tooling/src/rolldown.ts'

const tarball = 'temp/package.tgz'
const manifest = JSON.parse(readFileSync('package.json', 'utf8'))
const commands = [
  // Its prepack script is what runs this.
  ['pnpm', ['pack', '--ignore-scripts', '--out', tarball]],
  ['publint', ['--strict', tarball]],
]
// A package that is only a program has no types to resolve.
if (manifest.exports?.['.'] !== undefined) commands.push(['attw', [tarball, '--profile', 'esm-only']])

// One module per entry point, and what several of them share.
const modules = [...entryPoints(process.cwd()), ...standaloneModules(process.cwd())].map((name) => `${name}.js`)
// The site is files for browsers, with names of vite's.
const built = globSync('**/*.js', { cwd: 'dist', exclude: ['site'] }).map((file) => file.replaceAll('\\', '/'))
const hasSite = manifest.devDependencies?.['@retrap/site'] === undefined || existsSync('dist/site/index.html')
const wrong = [
  ...(hasSite ? [] : ['there is no dist/site/index.html']),
  ...modules.filter((file) => !built.includes(file)).map((file) => `there is no dist/${file}`),
  ...built
    .filter((file) => !modules.includes(file) && !/^(?:standalone\/)?chunk-[\w-]+\.js$/.test(file))
    .map((file) => `dist/${file} is neither an entry point nor a chunk of one`),
]
if (wrong.length > 0) {
  console.error(`${manifest.name}: ${wrong.join('\n')}\nRemove dist and build again.`)
  process.exit(1)
}

mkdirSync('temp', { recursive: true })
for (const [name, args] of commands) {
  const result = spawnSync(name, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    shell: process.platform === 'win32',
  })
  if (result.status === 0) continue
  console.error(
    `${manifest.name}: ${name} failed\n${result.stdout ?? ''}${result.stderr ?? ''}${result.error?.message ?? ''}`,
  )
  process.exit(1)
}
