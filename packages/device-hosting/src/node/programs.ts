/** A program beside the module `from`, which runs as source or built as that one does. */
export function programOf(name: string, from: string): URL {
  return new URL(`./${name}${extension(from)}`, from)
}

const extension = (url: string): string => (/\.ts(?:$|\?)/.test(url) ? '.ts' : '.js')

const SOURCES = '--conditions=retrap-source'

/** Node's options for such a program: one that runs from source wants the sources of its packages too. */
export function sourceFlags(from: string): string[] {
  return extension(from) === '.ts' ? [SOURCES] : []
}
