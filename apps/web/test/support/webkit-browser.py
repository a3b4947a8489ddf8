#!/usr/bin/python3
"""A WebKitGTK that keeps its data in --data=FOLDER while WebDriver drives it: sessions of MiniBrowser are private then."""
import sys
import gi
gi.require_version('Gtk', '3.0')
gi.require_version('WebKit2', '4.1')
from gi.repository import Gtk, WebKit2

options = dict(one[2:].partition('=')[::2] for one in sys.argv[1:] if one.startswith('--'))
manager = WebKit2.WebsiteDataManager(
    base_data_directory=options['data'] + '/data', base_cache_directory=options['data'] + '/cache')
context = WebKit2.WebContext(website_data_manager=manager)
context.set_automation_allowed(True)
settings = WebKit2.Settings()
wanted = options.get('features', '').replace('+', '').split(',')
features = WebKit2.Settings.get_all_features()
for i in range(features.get_length()):
    if features.get(i).get_identifier() in wanted:
        settings.set_feature_enabled(features.get(i), True)
views = []


def open_view(*_):
    view = WebKit2.WebView(web_context=context, settings=settings, is_controlled_by_automation=True)
    window = Gtk.Window()
    window.set_default_size(1400, 900)
    window.add(view)
    views.append(view)

    def destroyed(_):
        views.remove(view)
        if not views:
            Gtk.main_quit()

    window.connect('destroy', destroyed)
    view.connect('close', lambda _: window.destroy())
    view.connect('create', open_view)
    view.connect('permission-request', lambda _, request: request.allow() or True)
    window.show_all()
    view.grab_focus()
    return view


def started(_, session):
    # The driver asks for a browser of this name.
    info = WebKit2.ApplicationInfo()
    info.set_name('MiniBrowser')
    info.set_version(WebKit2.get_major_version(), WebKit2.get_minor_version(), WebKit2.get_micro_version())
    session.set_application_info(info)
    session.connect('create-web-view', open_view)


context.connect('automation-started', started)
Gtk.main()
