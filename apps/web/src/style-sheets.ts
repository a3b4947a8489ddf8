// The policy allows an element's properties, and not their text: xterm.js sets that where letters are selected, or in colours.
HTMLSpanElement.prototype.setAttribute = function (name, value) {
  if (name === 'style') this.style.cssText = value
  else HTMLElement.prototype.setAttribute.call(this, name, value)
}

/**
 * Runs an action that makes style elements, without them: styles written into them, then or later, go into style sheets that
 * the document adopts. The page's policy allows no style elements, and xterm.js makes some.
 *
 * @returns drops the sheets
 */
export function withStyleSheets(action: () => void): () => void {
  const own = new Set<CSSStyleSheet>()
  const forget = (sheet: CSSStyleSheet): void => {
    own.delete(sheet)
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => one !== sheet)
  }
  const stand = (): HTMLElement => {
    const sheet = new CSSStyleSheet()
    own.add(sheet)
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet]
    // The element is in the page in the style element's place, and is never seen.
    const element = document.createElement('template')
    Object.defineProperty(element, 'textContent', {
      set(text: string) {
        sheet.replaceSync(text)
      },
    })
    element.remove = () => {
      forget(sheet)
      HTMLElement.prototype.remove.call(element)
    }
    return element
  }
  const create = document.createElement.bind(document)
  document.createElement = ((name: string, options?: ElementCreationOptions) =>
    name === 'style' ? stand() : create(name, options)) as typeof document.createElement
  try {
    action()
  } finally {
    // The document's own method is its prototype's.
    Reflect.deleteProperty(document, 'createElement')
  }
  return () => [...own].forEach(forget)
}
